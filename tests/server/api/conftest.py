"""The application over a client of no engines, for what needs no image."""

from pathlib import Path

import pytest

from server.app import create_app
from server.bundle.manifest import read_manifest
from server.config import ServerConfig
from server.ipc.catalog import NOT_ASKED, READY, UNAVAILABLE, Catalog, Entry

ROOT = Path(__file__).parents[3]


class NoEngines:
    """Stand in for an ``EngineClient``: the catalog is there, and wishes are noted."""

    ready = True
    engines = (True,)

    loop = None  # nothing is done beside others

    def __init__(self):
        manifest = ROOT / "models" / "cars-dcgan" / "1" / "manifest.json"
        served = Entry("cars-dcgan", "1", READY, key=1, manifest=read_manifest(manifest))
        lost = "/srv/models/cars-dcgan/2/manifest.json cannot be read: '/srv/models/x y/z.npy'"
        entries = (
            served,
            Entry("cars-dcgan", "2", UNAVAILABLE, lost),
            Entry("vans", "3", UNAVAILABLE, NOT_ASKED),
        )
        newest = {"cars-dcgan": "1"}
        self.catalog = Catalog("cars-dcgan/1", {str(x): x for x in entries}, (), newest)
        self.done = []

    def find(self, name, version=None):
        return self.catalog.find(name, version)

    def most_rows(self, entry, *row_bytes, floats=False):
        return 1000

    def administer(self, *asked):
        self.done.append(asked[:3])

    def generate(self, source, terms, name=None, version=None, named=None, floats=False):
        self.catalog.find(name, version)
        raise ZeroDivisionError("a bug")


@pytest.fixture
def client():
    return NoEngines()


@pytest.fixture
def http(client):
    config = ServerConfig(models=ROOT / "models", admin_token="s3cret")
    return create_app(config, client).test_client()

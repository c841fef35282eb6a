"""A small bundle of its own for every test that wants to break one."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from server.bundle.files import file_facts
from server.bundle.manifest import (
    FileFacts,
    Golden,
    GraphFacts,
    ImageFacts,
    LatentsFacts,
    Manifest,
    Variant,
    write_manifest,
)

GRAPH = b"\x12\x05graph"
"""An ONNX file in which nothing stands but who made it."""


@pytest.fixture
def write_bundle(tmp_path):
    """Write a bundle of two files and return its directory; keywords alter the manifest."""

    def write(version="1", name="tiny", **changes):
        folder = tmp_path / "models" / name / version
        folder.mkdir(parents=True)
        golden = np.zeros((2, 4, 4, 3), np.uint8)
        (folder / "generator.onnx").write_bytes(GRAPH)
        np.save(folder / "golden.npy", golden)
        files = {x: file_facts(folder / x) for x in ("generator.onnx", "golden.npy")}
        manifest = Manifest(
            schema_version=1,
            name=name,
            version=version,
            latents=LatentsFacts(8, "normal", 1),
            image=ImageFacts([4, 4, 3], "uint8", [0, 255], "RGB"),
            graph=GraphFacts("latents", "images", 18),
            variants=[Variant("fp32", "generator.onnx", "float32", "none", {})],
            golden=Golden(
                [0, 1], [hashlib.sha256(x.tobytes()).hexdigest() for x in golden], "golden.npy", 2
            ),
            files=files,
        )
        write_manifest(replace(manifest, **changes), folder)
        return folder

    return write


@pytest.fixture
def file_facts_of_nothing():
    return FileFacts("0" * 64, 0)


@pytest.fixture
def path(tmp_path):
    """Where the engine of a test listens."""
    return tmp_path / "engine.sock"

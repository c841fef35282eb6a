"""The server is found where people have it."""

from pathlib import Path

import pytest

from carfront import server_folder
from carfront.server_folder import HOME, find_server, server_near
from tests.bundles import ROOT


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A working folder without a server, and a package and an image that have none."""
    monkeypatch.delenv(HOME, raising=False)
    monkeypatch.setattr(server_folder, "__file__", str(tmp_path / "carfront.py"))
    monkeypatch.setattr(server_folder, "IMAGE", tmp_path / "app")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put_server(folder: Path) -> Path:
    (folder / "server").mkdir(parents=True)
    (folder / "server" / "gunicorn.conf.py").touch()
    return folder


def test_a_server_is_found_at_or_above_a_folder(tmp_path):
    assert server_near(tmp_path, ROOT / "models" / "cars-dcgan") == ROOT
    assert server_near(tmp_path) is None


def test_without_any_server_there_is_none(alone):
    assert find_server(None) is None
    assert find_server(alone) is None


@pytest.mark.parametrize("near", ["working folder", "bundle", "package", "image"])
def test_a_server_that_is_near_is_found(alone, monkeypatch, near):
    found = put_server(alone / "there")
    if near == "working folder":
        (found / "below").mkdir()
        monkeypatch.chdir(found / "below")
    if near == "package":
        place = found / ".venvs" / "client" / "carfront" / "server_folder.py"
        monkeypatch.setattr(server_folder, "__file__", str(place))
    if near == "image":
        monkeypatch.setattr(server_folder, "IMAGE", found)
    assert find_server(None, found / "models" if near == "bundle" else alone) == found


def test_what_is_named_goes_before_the_environment_and_that_before_what_is_near(alone, monkeypatch):
    named, home = put_server(alone / "named"), put_server(alone / "home")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(HOME, str(home))
    assert find_server(None) == home
    assert find_server(named) == named
    assert find_server(alone) is None

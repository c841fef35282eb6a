"""The wheel holds the client and the command alone, and runs where nothing else of ours is."""

import re
import subprocess
import tomllib
import zipfile

import pytest

from tests.bundles import ROOT
from tests.carfront.wheel import build_wheel, install_wheel

PROJECT = tomllib.loads((ROOT / "carfront" / "pyproject.toml").read_text())["project"]


HIDE_GUNICORN = """
import sys
sys.modules["gunicorn"] = None
from carfront.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    return install_wheel(wheel, tmp_path_factory.mktemp("environment"))


def test_wheel_holds_every_module_of_ours_and_nothing_else(wheel):
    names = {x for x in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in x}
    ours = {
        f"carfront/{x.relative_to(ROOT / 'carfront')}" for x in (ROOT / "carfront").rglob("*.py")
    }
    assert names == ours | {"carfront/py.typed"}


def test_wheel_asks_for_what_is_imported_and_no_more(wheel):
    metadata = zipfile.ZipFile(wheel).read(
        next(x for x in zipfile.ZipFile(wheel).namelist() if x.endswith("/METADATA"))
    ).decode()  # fmt: skip
    wanted = re.findall(r"^Requires-Dist: ([a-z0-9-]+)[^;\n]*$", metadata, re.MULTILINE)
    assert sorted(wanted) == ["click", "httpx", "numpy", "tqdm"]


def test_installed_command_tells_its_commands_anywhere(installed, tmp_path):
    command = [installed / "carfront", "--help"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "generate" in ended.stdout


def test_installed_without_a_server_says_what_a_bundle_needs(installed, tmp_path):
    arguments = ["generate", "--seeds", "0:5", "-o", "x", "--bundle", "models/cars-dcgan/2"]
    command = [installed / "carfront", *arguments]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "wanted a checkout of Carfront" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("named", [[], ["--server", "elsewhere"]])
def test_installed_without_a_server_says_what_serve_needs(installed, tmp_path, named):
    ended = subprocess.run(
        [installed / "carfront", "serve", *named], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "named by --server or CARFRONT_HOME" in ended.stderr
    assert f"there is no server {'in elsewhere' if named else 'here'}" in ended.stderr


def test_a_server_without_packages_says_what_installs_them(installed, tmp_path):
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "gunicorn.conf.py").touch()
    bare = [installed / "python", "-c", HIDE_GUNICORN, "serve"]
    ended = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"the server in {tmp_path} has no packages to run with: `make serve`" in ended.stderr


def test_installed_version_is_the_projects(installed, tmp_path):
    command = [installed / "carfront", "--version"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout.strip() == f"carfront, version {PROJECT['version']}"


def test_a_checkout_locks_what_the_wheel_asks_for():
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = PROJECT["optional-dependencies"].values()
    wanted = {*PROJECT["dependencies"], *(x for extra in extras for x in extra)}
    assert {*root["optional-dependencies"]["client"]} == wanted

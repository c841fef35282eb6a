"""Who lacks what the tests use is told at once, and how to get it."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHELL = Path("/bin/sh")
PACKAGES = {
    **{name: name for name in ("wrk", "nginx", "haproxy")},
    **dict.fromkeys(("promtool", "prometheus"), "prometheus"),
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
}
"""The Debian package of each program."""


@pytest.fixture
def require(tmp_path):
    """Run the check on a machine that has no more than these ``programs``."""

    def run(*programs):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in programs:
            (folder / name).symlink_to(SHELL)
        command = [SHELL, "tests/require_tools.sh"]
        return subprocess.run(
            command, cwd=ROOT, env={"PATH": str(folder)}, capture_output=True, text=True
        )

    return run


def test_every_missing_program_is_named_with_the_command_that_brings_it(require):
    ended = require()
    assert ended.returncode == 2
    *packages, npm = ended.stderr.splitlines()
    for (name, package), line in zip(PACKAGES.items(), packages, strict=True):
        assert line.startswith(f"make test needs {name} ")
        assert line.endswith(f": apt-get install {package}")
    assert npm.startswith("make test needs npm ")
    assert "apt-get install nodejs npm" in npm


def test_machine_that_has_all_programs_is_told_nothing(require):
    ended = require(*PACKAGES, "npm")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("target", ["test", "test-slow"])
def test_programs_are_looked_for_before_anything_is_installed_or_run(target):
    environ = {**os.environ, "MAKEFLAGS": ""}
    command = ["make", "--no-print-directory", "--dry-run", "--always-make", target]
    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[0] == "sh tests/require_tools.sh"

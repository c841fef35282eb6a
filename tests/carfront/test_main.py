"""The package and its command are there at once, and Ctrl-C may come as early as it likes."""

import subprocess
import sys

import pytest

import carfront
from carfront.stops import STOPPED
from tests.bundles import ROOT

STOPPED_AT = """
import os, signal, sys
class Stop:
    def find_spec(name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Stop)
sys.argv = ["carfront", "models"]
from carfront.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["click", "numpy", "httpx", "carfront.datasets.write"])
@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143)])
def test_a_signal_while_the_command_is_imported_is_a_sentence(module, number, status):
    code = STOPPED_AT.format(module=module, number=number)
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.strip()) == (status, STOPPED)


def test_everything_that_the_package_names_is_there():
    for name in carfront.__all__:
        assert getattr(carfront, name).__name__ == name
    with pytest.raises(ImportError, match="nothing"):
        from carfront import nothing  # noqa: F401

"""TensorFlow's banners are held back, and nothing else is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.quiet import LEVEL, without_banners

ROOT = Path(__file__).parents[2]
IMPORT = "from training.quiet import import_tensorflow; import_tensorflow(); import tensorflow"


def test_lines_that_are_no_banners_are_passed_on(capfd):
    with without_banners():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are\n")
        os.write(2, b"I0000 00:00:1.2  3 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"E0000 00:00:1.2  3 gpu.cc:1] there is no driver\n")
    assert capfd.readouterr().err == "E0000 00:00:1.2  3 gpu.cc:1] there is no driver\n"


def test_error_in_the_block_loses_no_line(capfd):
    def fail():
        with without_banners():
            os.write(2, b"why\n")
            raise ImportError("no such library")

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "why\n"


def test_import_says_nothing_by_default():
    environ = {name: value for name, value in os.environ.items() if name != LEVEL}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")

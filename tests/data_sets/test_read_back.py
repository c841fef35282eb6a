"""Other people's packages read data sets as docs/data-sets.md shows: ``make data-sets``.

``DATA_SETS_PYTHON`` is the interpreter that has these packages, by default that of
``make data-sets``.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles import ROOT

PYTHON = Path(os.environ.get("DATA_SETS_PYTHON", ROOT / ".venvs/data-sets/bin/python"))
_, READ = (ROOT / "docs" / "data-sets.md").read_text().split("## Read it")
LINES = re.findall(r"^carfront (.*)$", READ, re.MULTILINE)
"""The commands that draw what the examples read."""
EXAMPLES = dict(re.findall(r"^```python\n# (\w+)\n(.*?)^```", READ, re.MULTILINE | re.DOTALL))
"""The examples by the names of their packages."""
WANTED = """
import numpy as np
wanted = np.load("cars-npy/shard-000000.npy")
assert wanted.shape == (1000, 32, 32, 3) and len(np.unique(wanted)) == 256
def check(pairs):
    found = {int(seed): np.asarray(image) for seed, image in pairs}
    assert sorted(found) == [*range(1000)]
    assert all((found[seed] == wanted[seed]).all() for seed in found)
"""
CHECKS = {
    "webdataset": "check(cars)",
    "pyarrow": """
rows = ((row["seed"], row["image"]["bytes"]) for row in cars.to_table().to_pylist())
check((seed, Image.open(io.BytesIO(png))) for seed, png in rows)
""",
    "datasets": """
check((row["seed"], row["image"]) for row in cars)
check((row["__key__"], row["png"]) for row in stream)
""",
    "numpy": "check(enumerate(images))",
}
"""What is to be true after each example."""

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not PYTHON.exists(), reason="no packages that read: make data-sets"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what the commands of the document draw there."""
    folder = tmp_path_factory.mktemp("sets")
    (folder / "models").symlink_to(ROOT / "models")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for line in LINES:
        command = [sys.executable, "-m", "carfront", *shlex.split(line)]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def test_every_reader_has_a_check():
    assert {*EXAMPLES} == {*CHECKS}
    assert len(LINES) == 3


@pytest.mark.parametrize("name", CHECKS)
def test_example_reads_every_image(name, folder):
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    code = EXAMPLES[name] + WANTED + CHECKS[name]
    done = subprocess.run([PYTHON, "-c", code], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

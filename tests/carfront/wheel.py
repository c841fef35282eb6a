"""The wheel as users get it: built, and installed where nothing else of ours is."""

import subprocess
import sys
import venv
from pathlib import Path

from tests.bundles import ROOT


def build_wheel(folder: Path) -> Path:
    """Build the wheel into ``folder``, and return its path; nothing is left in the checkout."""
    # Whoever runs the tests has the build's backend installed.
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT / "carfront", capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


def install_wheel(wheel: Path, folder: Path) -> Path:
    """Make an environment with ``wheel`` in ``folder``, and return where its commands are.

    It borrows the packages of this environment.
    """
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    command = [sys.executable, "-m", "pip", "--python", str(folder), "install", "-q", "--no-deps",
               "--no-index", "--disable-pip-version-check", str(wheel)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin"

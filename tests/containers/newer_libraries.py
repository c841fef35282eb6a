"""The libraries of a newer Debian in a folder, for a program that wants a newer glibc than is here.

They are unpacked, not installed, and need no container: the program is started by their own loader.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.containers.engine import Missing
from tests.servers import PATIENCE_S

RELEASE = "trixie"
PACKAGES = ("libc6", "libgcc-s1", "libssl3t64", "libstdc++6", "zlib1g")


def newer_libraries(folder: Path) -> list[str]:
    """Return the command that starts a program with the libraries, which are put into ``folder``.

    Raises:
        Missing: the packages cannot be had.
    """
    if shutil.which("debootstrap") is None or os.geteuid():
        raise Missing("there is no debootstrap, or nobody but root may run it")
    base, root = folder / "base", folder / "root"
    wanted = f"--include={','.join(PACKAGES)}"
    command = ["debootstrap", "--download-only", "--variant=minbase", wanted, RELEASE, base]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    if done.returncode:
        raise Missing(f"debootstrap ended with {done.returncode}: {done.stdout[-200:]}")
    for package in PACKAGES:
        (archive,) = (base / "var/cache/apt/archives").glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True)
    shutil.rmtree(base)
    loader = root / "usr/lib64/ld-linux-x86-64.so.2"
    return [str(loader), "--library-path", str(root / "usr/lib/x86_64-linux-gnu")]

"""A file system of a few pages, which is soon full."""

import os
import subprocess
from contextlib import contextmanager, suppress

import pytest

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


@contextmanager
def small_disk(folder, kib):
    """Mount a file system of ``kib`` KiB, in memory, at ``folder`` until the block ends."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder):
    """Fill the file system of ``folder`` to its last byte; return the file that does."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler

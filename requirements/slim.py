"""Removes from an environment what the server never opens at run time, and tells how much that was.

``python requirements/slim.py SITE_PACKAGES`` is a step of the image's build. Nothing that is named
here has to be there: another release of a library may come without it.
"""

import argparse
import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

PACKAGES = ("sympy", "mpmath")
"""Packages that onnxruntime's wheel asks for, and only its tools for other networks import."""
FOLDERS = (
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "numpy/f2py",
)
"""Folders of tools, below the folder of the packages."""
FILES = (
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/capi/libopenvino_intel_gpu_plugin.so*",
    "onnxruntime/capi/libopenvino_intel_npu_plugin.so*",
)
"""Libraries for programs in C, and for Intel's graphics and neural processors."""
LARGE = 100_000
"""The bytes from which a file that is there twice is kept once."""


def main() -> None:
    """Slim the environment that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("site_packages", type=Path)
    folder = parser.parse_args().site_packages
    if not folder.is_dir():
        parser.error(f"{folder} is no folder")
    before = size(folder)
    slim(folder)
    print(f"{folder}: {size(folder) / 1e6:.0f} MB, which were {before / 1e6:.0f} MB")


def slim(folder: Path) -> None:
    """Remove from the packages in ``folder`` what the server never opens."""
    for package in PACKAGES:
        _remove([folder / package, *folder.glob(f"{package}-*.dist-info")])
    _remove(folder / name for name in FOLDERS)
    for pattern in FILES:
        _remove(folder.glob(pattern))
    _remove(sorted(x for x in folder.rglob("tests") if x.is_dir()))
    _keep_once(folder)


def size(folder: Path) -> int:
    """Return the bytes of all files in ``folder``; a link counts for nothing."""
    return sum(x.lstat().st_size for x in folder.rglob("*") if x.is_file() and not x.is_symlink())


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _keep_once(folder: Path) -> None:
    """Have a link in the place of every large file that lies in its own folder a second time.

    A wheel cannot hold links, and so has a shared library once for each of its names.
    """
    kept: dict[tuple[Path, str], Path] = {}
    for path in sorted(folder.rglob("*.so*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size < LARGE:
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        first = kept.setdefault((path.parent, digest), path)
        if first is not path:
            path.unlink()
            path.symlink_to(first.name)


if __name__ == "__main__":
    main()

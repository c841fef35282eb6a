"""The cache of prepared images: a file to map into memory, and a sidecar with facts and digest.

The digest is checked at every start, which reads the file once. Images that are half-written or
altered are prepared anew.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from training.data.layout import Images, Photo

PREPARATION = 1
"""The version of the preparation, raised whenever the same files and settings give other pixels."""
ABANDONED_S = 3600
"""The seconds without a write after which a temporary file must be a killed process's."""


def cache_dir() -> Path:
    """Return the directory of fetched data: ``CARFRONT_CACHE``, or the user's cache directory."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CARFRONT_CACHE") or Path(home) / "carfront")


def digest(images: Images) -> str:
    """Return the SHA-256 of the images' bytes in their order, in hexadecimal.

    For images that are mapped from the cache, it is the digest that was checked at their loading.
    """
    known = _sidecar_of(images)
    return known["sha256"] if known else _sha256(np.ascontiguousarray(images))


def layout_of(images: Images) -> str | None:
    """Return the layout in which the images' data set was recognised; None if it has only one."""
    layout = _sidecar_of(images).get("layout")
    return None if layout is None else str(layout)


def key(source: str, root: Path, photos: list[Photo], settings: dict[str, Any]) -> str:
    """Return the key of the ``photos``, as their files are now, prepared with ``settings``."""
    files = [(photo.name(root), photo.box, _stamp(photo.file)) for photo in photos]
    content = json.dumps([PREPARATION, source, settings, files], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def load(path: Path, wanted: str) -> Images | None:
    """Return the images in ``path``, mapped read-only; None unless whole and of that key."""
    sidecar = _sidecar(path)
    if not path.exists() and not sidecar:
        return None
    images = _map(path) if sidecar.get("key") == wanted else None
    if images is not None and _facts(images) == (sidecar.get("shape"), sidecar.get("sha256")):
        return images
    print(f"{path} is half-written or altered: preparing anew", file=sys.stderr, flush=True)
    return None


def write(path: Path, facts: dict[str, Any], size: int, images: Iterable[Images]) -> None:
    """Write ``images``, uint8 [size, size, 3] each, and then the sidecar, both atomically.

    ``facts`` go into the sidecar, with the digest and the shape.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    count, sha256 = 0, hashlib.sha256()
    with replacing(path) as file:
        _write_header(file, (count, size, size, 3))
        for image in images:
            content = np.ascontiguousarray(image).tobytes()
            file.write(content)
            sha256.update(content)
            count += 1
        file.seek(0)
        _write_header(file, (count, size, size, 3))  # NumPy pads both headers to one length
    sidecar = {**facts, "shape": [count, size, size, 3], "sha256": sha256.hexdigest()}
    _write_sidecar(path, sidecar)


def note_layout(path: Path, layout: str) -> None:
    """Note the ``layout`` of the data set in the sidecar of ``path``, unless it is there."""
    sidecar = _sidecar(path)
    if sidecar.get("layout") != layout:
        _write_sidecar(path, sidecar | {"layout": layout})


def _write_sidecar(path: Path, sidecar: dict[str, Any]) -> None:
    with replacing(path.with_suffix(".json")) as file:
        file.write(json.dumps(sidecar, indent=2).encode() + b"\n")


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of ``path`` once the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove the temporary files of processes that were killed."""
    for file in folder.glob(".*.partial"):
        with suppress(FileNotFoundError):  # another process removed the file just now
            if time.time() - file.stat().st_mtime > ABANDONED_S:
                file.unlink()


def _stamp(file: Path) -> tuple[int, int] | None:
    """Return a file's size and mtime in ns, which show that it was replaced; None if missing."""
    try:
        facts = file.stat()
    except OSError:  # a missing photograph is skipped and reported later
        return None
    return facts.st_size, facts.st_mtime_ns


def _sidecar(path: Path) -> dict[str, Any]:
    """Return the facts in the sidecar of ``path``, empty if the sidecar is missing or broken."""
    try:
        content = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _sidecar_of(images: Images) -> dict[str, Any]:
    """Return the sidecar of images that are a whole mapped cache file, else an empty one."""
    if not isinstance(images, np.memmap) or images.filename is None:
        return {}
    sidecar = _sidecar(Path(images.filename))
    whole = sidecar.get("shape") == list(images.shape) and images.flags.c_contiguous
    return sidecar if whole and "sha256" in sidecar else {}


def _facts(images: Images) -> tuple[list[int], str]:
    return list(images.shape), _sha256(images)


def _sha256(images: Images) -> str:
    return hashlib.sha256(images.data).hexdigest()


def _map(path: Path) -> Images | None:
    try:
        images: Images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # not there, cut short, or not a .npy
        return None
    return images

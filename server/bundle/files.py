"""The files of a bundle: read, and checked against what the manifest says of them."""

import hashlib
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from server.bundle import volume
from server.bundle.errors import BundleError, BundleUnreadable
from server.bundle.external_data import external_files
from server.bundle.manifest import MANIFEST, FileFacts, Manifest, read_manifest
from server.bundle.regular_files import digest, read_whole, size

MOST_BYTES = 4 * 2**30
"""The bytes of all files of a bundle together, at most: what is larger takes longer to check than a
start may take."""
MOST_HEADER = 2**14
"""The bytes of a .npy file's header, at most; NumPy reads no more either."""
FLOATS_BIT = 1 << 63
"""The bit in which the key of a bundle's float images differs from the bundle's own."""
GRADIENT_BIT = 1 << 62
"""The bit in which the key of a bundle's gradient does."""


@dataclass(frozen=True)
class Bundle:
    """A manifest together with the directory whose files were checked against it."""

    path: Path
    manifest: Manifest

    @property
    def key(self) -> int:
        """The bundle's identity: 64 bits of a digest of all that its manifest says of its images.

        The digest of every file that decides what is drawn is in it. Directions, the gradient and
        an evaluation are not: whoever adds them makes no cache stale.
        """
        text = self.manifest.what_draws().encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8])

    def check_files(self) -> None:
        """Compare every file that the manifest lists with its size and digest there.

        Raises:
            BundleError: a file differs, is missing, or cannot be read; the first one is named.
        """
        volume.read(self.path, lambda: _check_files(self))

    def golden_images(self, file: str = "") -> NDArray[np.uint8]:
        """Return the golden images, uint8 [seeds, height, width, channels].

        Those in ``file``, or in the file that the manifest names for all variants.

        Raises:
            BundleError: the file cannot be read, or holds something else.
        """
        name = file or self.manifest.golden.file
        return volume.read(self.path, lambda: _golden_images(self, name))


def floats_key(key: int) -> int:
    """Return the key of the float images of the bundle of ``key``, which another graph draws."""
    return key ^ FLOATS_BIT


def gradient_key(key: int) -> int:
    """Return the key of the gradient of the bundle of ``key``, which another graph gives."""
    return key ^ GRADIENT_BIT


def golden_file(variant: str) -> str:
    """Return the name of the file with the golden images of ``variant`` alone, if it has any.

    A bundle whose manifest lists such a file promises these bytes of that variant, on any host.
    """
    return f"golden-{variant}.npy"


def file_facts(path: Path) -> FileFacts:
    """Return the SHA-256 and the size of the file at ``path``.

    Raises:
        BundleError: the file is no regular one, or cannot be read.
    """
    count, sha256 = digest(path, size(path))
    return FileFacts(sha256, count)


def load_bundle(path: Path) -> Bundle:
    """Return the bundle in ``path``, every file of it checked.

    Raises:
        BundleError: the bundle cannot be served; the message is the first fault found.
    """
    return volume.read(path, lambda: _load(path))


def _load(path: Path) -> Bundle:
    try:
        bundle = Bundle(path, read_manifest(path / MANIFEST))
        _check_files(bundle)
        _check_used(bundle)
        for name in _golden_files(bundle):
            _golden_images(bundle, name)
    except BundleError:
        raise
    except MemoryError as error:
        raise BundleUnreadable(f"{path} cannot be read: there is not enough memory") from error
    except Exception as error:  # whatever a bundle holds, it must stop no other one
        raise BundleError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    return bundle


def _check_files(bundle: Bundle) -> None:
    """Check all sizes first: a digest takes as long as the file is large."""
    files = bundle.manifest.files
    for name, wanted in files.items():
        if Path(name).name != name or not os.path.lexists(bundle.path / name):
            raise BundleError(f"{bundle.path}: the manifest lists {name}, which is not there")
        _check(bundle.path / name, wanted, size(bundle.path / name))
    total = sum(wanted.size for wanted in files.values())
    if total > MOST_BYTES:
        raise BundleError(f"{bundle.path} has {total} bytes; wanted at most {MOST_BYTES}")
    for name, wanted in files.items():
        _check(bundle.path / name, wanted, *digest(bundle.path / name, wanted.size))


def _check(file: Path, wanted: FileFacts, count: int, sha256: str = "") -> None:
    """Check the size of ``file`` in bytes and, where it is known, its digest."""
    if count != wanted.size or sha256 not in ("", wanted.sha256):
        found = f"{count} bytes" + (f", SHA-256 {sha256[:12]}..." if sha256 else "")
        raise BundleError(
            f"{file} is not what was exported: {found}; "
            f"wanted {wanted.size}, {wanted.sha256[:12]}..."
        )


def _check_used(bundle: Bundle) -> None:
    """Check that the manifest lists every file that the bundle uses, weights of graphs too."""
    manifest, path = bundle.manifest, bundle.path
    graphs = [variant.file for variant in manifest.variants]
    for name in (*graphs, manifest.golden.file):
        if name not in manifest.files:
            raise BundleError(f"{path}: {name} is used, but its digest is not in the manifest")
    for graph in dict.fromkeys(graphs):
        for name in external_files(path / graph):
            if name not in manifest.files:
                raise BundleError(
                    f"{path}: {graph} keeps weights in {name!r}, "
                    "but its digest is not in the manifest"
                )


def _golden_files(bundle: Bundle) -> list[str]:
    manifest = bundle.manifest
    own = [golden_file(variant.name) for variant in manifest.variants]
    return [manifest.golden.file, *(name for name in own if name in manifest.files)]


def _golden_images(bundle: Bundle, name: str) -> NDArray[np.uint8]:
    """Return the golden images, of the shape that the manifest promises for all images.

    The header is compared before anything is made of it: it may claim to hold any number of images.
    """
    manifest = bundle.manifest
    file, shape = bundle.path / name, manifest.image.shape
    wanted = (len(manifest.golden.seeds), *shape)
    if not wanted[0]:
        raise BundleError(f"{bundle.path} has no golden images to prove what it draws")
    content = io.BytesIO(read_whole(file, MOST_HEADER + math.prod(wanted)))
    try:
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        found, by_column, dtype = read_header[npy.read_magic(content)](content)
    except Exception as error:  # the header is Python's source, whose reader raises many kinds
        raise BundleError(f"{file} is no .npy file: {error}") from error
    pixels = content.read()
    if found != wanted or dtype != np.uint8 or by_column or len(pixels) != math.prod(wanted):
        raise BundleError(
            f"{file} is {dtype} {found} and has {len(pixels)} bytes; "
            f"by the manifest's image.shape it should be uint8 {wanted}"
        )
    return np.frombuffer(pixels, np.uint8).reshape(wanted).copy()  # who has it may alter it

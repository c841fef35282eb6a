"""The files of a bundle: read, and checked against what the manifest says of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.bundle.manifest import MANIFEST, BundleError, FileFacts, Manifest, read_manifest


@dataclass(frozen=True)
class Bundle:
    """A manifest together with the directory whose files were checked against it."""

    path: Path
    manifest: Manifest

    @property
    def key(self) -> int:
        """The bundle's identity: 64 bits of its manifest's digest, which covers every file's."""
        text = self.manifest.to_json().encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8])

    def check_files(self) -> None:
        """Compare every file that the manifest lists with its size and digest there.

        Raises:
            BundleError: a file differs, is missing, or cannot be read; the first one is named.
        """
        for name, wanted in self.manifest.files.items():
            file = self.path / name
            try:
                found = file_facts(file) if Path(name).name == name and file.is_file() else None
            except OSError as error:
                raise BundleError(f"{file} cannot be read: {error}") from error
            if found is None:
                raise BundleError(f"{self.path}: the manifest lists {name}, which is not there")
            if found != wanted:
                raise BundleError(
                    f"{file} is not what was exported: {found.size} bytes, SHA-256 "
                    f"{found.sha256[:12]}...; wanted {wanted.size}, {wanted.sha256[:12]}..."
                )

    def golden_images(self) -> NDArray[np.uint8]:
        """Return the golden images, uint8 [seeds, height, width, channels]."""
        images: NDArray[np.uint8] = np.load(self.path / self.manifest.golden.file)
        return images


def file_facts(path: Path) -> FileFacts:
    """Return the SHA-256 and the size of the file at ``path``."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(sha256, path.stat().st_size)


def load_bundle(path: Path) -> Bundle:
    """Return the bundle in ``path``, every file of it checked.

    Raises:
        BundleError: the bundle cannot be served; the message is the first fault found.
    """
    manifest = read_manifest(path / MANIFEST)
    bundle = Bundle(path, manifest)
    bundle.check_files()
    for name in (*(variant.file for variant in manifest.variants), manifest.golden.file):
        if name not in manifest.files:
            raise BundleError(f"{path}: {name} is used, but its digest is not in the manifest")
    _check_golden(bundle)
    return bundle


def _check_golden(bundle: Bundle) -> None:
    """Check that the golden images have the shape that the manifest promises for all images."""
    manifest = bundle.manifest
    wanted = (len(manifest.golden.seeds), *manifest.image.shape)
    try:
        golden = bundle.golden_images()
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"{bundle.path}: {manifest.golden.file}: {error}") from error
    if golden.shape != wanted or golden.dtype != np.uint8:
        raise BundleError(
            f"{bundle.path}: {manifest.golden.file} is {golden.dtype} {golden.shape}; "
            f"by the manifest's image.shape it should be uint8 {wanted}"
        )

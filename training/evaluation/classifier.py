"""A small classifier of CIFAR-10's ten classes, whose features tell cars from what is none.

Its weights are in the repository, so that a distance is measured with the same features wherever it
is measured, without a download. ``python -m training.evaluation.train_classifier`` trained them.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from PIL import Image

from training.data.cifar10_files import AUTOMOBILE, SIDE
from training.evaluation.distances import Progress

WEIGHTS = Path(__file__).with_name("classifier.npz")
CLASSES = 10
WIDTHS = (32, 64, 128)
"""The channels of the three stages, of two convolutions each; the last are the features."""
BATCH = 500


def build() -> keras.Model:
    """Return the network, untrained: images float32 [N, 32, 32, 3] from 0 to 255 to two outputs.

    The outputs are the features float32 [N, 128], and the logits of the ten classes [N, 10].
    """
    images = keras.Input((SIDE, SIDE, 3), name="images")
    x = layers.Rescaling(1 / 64, offset=-2.0)(images)
    for stage, width in enumerate(WIDTHS):
        if stage:
            x = layers.MaxPooling2D()(x)
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
    features = layers.GlobalAveragePooling2D(name="features")(x)
    logits = layers.Dense(CLASSES, name="logits")(layers.Dropout(0.3)(features))
    return keras.Model(images, [features, logits])


def load(path: Path = WEIGHTS) -> keras.Model:
    """Return the trained network."""
    network = build()
    with np.load(path) as kept:
        network.set_weights([kept[name].astype(np.float32) for name in sorted(kept.files)])
    return network


def save(network: keras.Model, path: Path) -> None:
    """Write the weights in float16, which is as good as float32 here and half as large."""
    arrays = {f"w{k:02d}": x.astype(np.float16) for k, x in enumerate(network.get_weights())}
    np.savez_compressed(path, **arrays)


def judge(
    network: keras.Model, images: NDArray[np.uint8], progress: Progress = lambda _: None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the features of uint8 images [N, size, size, 3], and which of them are taken for cars.

    The features are float32 [N, 128]. Images of more than 32 pixels a side are made small first.
    """
    features: list[Any] = []
    cars: list[Any] = []
    for start in range(0, len(images), BATCH):
        some = _small(images[start : start + BATCH]).astype(np.float32)
        found, logits = (np.asarray(x) for x in network(some, training=False))
        features.append(found)
        cars.append(logits.argmax(1) == AUTOMOBILE)
        progress(min(start + BATCH, len(images)) / len(images))
    return np.concatenate(features), np.concatenate(cars)


def _small(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if images.shape[1] == SIDE:
        return images
    box = Image.Resampling.BOX
    return np.stack([np.asarray(Image.fromarray(x).resize((SIDE, SIDE), box)) for x in images])

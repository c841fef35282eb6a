"""Features of InceptionV3, from Keras's weights, for FID and KID.

Keras's weights were trained on ImageNet anew. They are not the weights of the TF-Slim network with
which published FIDs are made, and the images are enlarged by another program. Distances measured
here can be compared with each other, and with none from elsewhere.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.distances import Progress

SIDE = 299
"""The pixels a side of the images that InceptionV3 takes."""
BATCH = 64
TIMEOUT_S = 30.0
"""The timeout in seconds of a download that sends nothing."""


class NoInception(Exception):
    """InceptionV3's weights could not be loaded, so there is no FID and no KID."""


def load_inception(weights: Path | None = None) -> Any:
    """Return the network from the file ``weights``, or from Keras, which fetches them once.

    Raises:
        NoInception: the file is missing or holds other weights, or the weights could not be
            fetched.
    """
    import keras

    try:
        with _timeout(TIMEOUT_S):
            return keras.applications.InceptionV3(
                include_top=False,
                pooling="avg",
                input_shape=(SIDE, SIDE, 3),
                weights="imagenet" if weights is None else str(_existing(weights)),
            )
    except NoInception:
        raise
    except Exception as error:  # downloads and damaged files cause errors of many kinds
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise NoInception(_story(weights, told)) from error


def features(network: Any, images: NDArray[np.uint8], progress: Progress) -> NDArray[np.float32]:
    """Return the pooled features of uint8 images [N, size, size, 3], float32 [N, 2048]."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])  # type: ignore[untyped-decorator]
    def run(batch: tf.Tensor) -> tf.Tensor:
        large = tf.image.resize(tf.cast(batch, tf.float32), (SIDE, SIDE), antialias=True)
        return network(large / 127.5 - 1, training=False)

    parts = []
    for start in range(0, len(images), BATCH):
        parts.append(run(images[start : start + BATCH]).numpy())
        progress(min(start + BATCH, len(images)) / len(images))
    return np.concatenate(parts)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise NoInception(f"--inception-weights {path}: there is no such file")
    return path


def _story(weights: Path | None, told: str) -> str:
    if weights is not None:
        return (
            f"--inception-weights {weights}: wanted Keras's InceptionV3 without its top "
            f"(inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5); {told}"
        )
    return (
        "InceptionV3's weights could not be fetched; give a file with --inception-weights "
        f"(inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 of keras-applications); {told}"
    )


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Set the timeout of connections opened inside, since Keras's download has none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

"""Flask under gunicorn with ``keras.predict``: ``python -m loadtests.peers.flask_keras``.

The network is the one that training builds, on TensorFlow in float32, a model a worker.
"""

import os
import threading

import numpy as np
from flask import Flask
from numpy.typing import NDArray

from loadtests.peers.drawing import LATENT_DIM, MAX_BATCH_SIZE
from loadtests.peers.flask_app import app_with, serve


def app_of() -> Flask:
    """Return the application of one worker, which has built the model and is warm."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    from loadtests.peers.keras_generator import generator, pixels

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = generator()
    alone = threading.Lock()

    def draw(latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        with alone:  # predict keeps its state in the model
            return pixels(model.predict(latents, batch_size=MAX_BATCH_SIZE, verbose=0))

    for rows in (1, MAX_BATCH_SIZE):
        draw(np.zeros((rows, LATENT_DIM), np.float32))
    return app_with(draw)


if __name__ == "__main__":
    serve(__spec__.name, __doc__)

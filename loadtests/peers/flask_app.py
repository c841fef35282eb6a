"""Flask's application of the peers that draw in the worker that took a request, under gunicorn.

This is how a model is put behind Flask without more ado: every request is drawn by itself. There is
a worker a processor, each drawing with one thread, since each worker with all processors would have
them wait for each other. Threads of a worker keep connections.
"""

import argparse
import os
import sys
from collections.abc import Callable

import numpy as np
from flask import Flask, Response, request
from numpy.typing import NDArray

from loadtests.peers import IMAGES_PATH
from loadtests.peers.drawing import body_of, latents_wanted, npy

THREADS = 8
"""The threads of a worker, so that one that waits for its caller does not keep others waiting."""
Draw = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Latents, float32 [n, latent_dim], to images, uint8 [n, H, W, C]."""


def app_with(draw: Draw) -> Flask:
    """Return the application of one worker, which draws with ``draw``."""
    app = Flask(__name__)

    @app.get("/readyz")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.get(f"{IMAGES_PATH}/<int:seed>.png")
    def image(seed: int) -> Response:
        drawn = draw(latents_wanted({"seed": seed, "n": 1}))
        return Response(body_of(drawn), mimetype="image/png")

    @app.post(IMAGES_PATH)
    def images() -> Response:
        drawn = draw(latents_wanted(request.get_json()))
        return Response(npy(drawn), mimetype="application/x-npy")

    return app


def serve(module: str, description: str | None) -> None:
    """Serve ``app_of`` of a module until SIGTERM, at the port of the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{args.port}"]
    command += [f"--workers={workers}", "--worker-class=gthread", f"--threads={THREADS}"]
    os.execv(sys.executable, [*command, "--log-level=warning", f"{module}:app_of()"])

"""Checks that a server draws the right images: a fast wrong answer is worse than none."""

import json
import time
import urllib.error
from functools import cache

import numpy as np
from numpy.typing import NDArray

from loadtests.answers import WrongAnswer
from loadtests.compare.contenders import Running
from loadtests.peers.drawing import BUNDLE, LATENT_DIM, exact_images, plan
from loadtests.peers.requests import Requests
from loadtests.readings import MeasureError

ROWS = 8
SHAPE = (32, 32, 3)
RIGHT_WITHIN_S = 60.0
"""The seconds within which a server that is ready has to draw the right images."""


@cache
def latents() -> NDArray[np.float32]:
    """Return the latents whose images every server is asked for: float32 [8, latent_dim]."""
    return np.random.default_rng(7).standard_normal((ROWS, LATENT_DIM), np.float32)


@cache
def right_images() -> NDArray[np.uint8]:
    """Return the images of ``latents`` in float32: uint8 [8, height, width, channels]."""
    return exact_images(latents())


@cache
def tolerance() -> int:
    """Return the grey levels by which the plan's images may differ from those in float32."""
    variant = json.loads((BUNDLE / "manifest.json").read_text())["variants"][0]
    return int(variant["parity"]["plans"][plan()]["limits"]["ordinary"]["levels"])


def check(server: Running) -> None:
    """Check the images of latents against those of float32, and the size of those of seeds.

    Raises:
        MeasureError: the server answers with something else, or not at all.
    """
    try:
        require_right(server.requests, server.url, ROWS)
        for n in (1, 64):
            _require_size(server.requests.of_seed(11, n).answer(server.url), n)
    except (OSError, ValueError, WrongAnswer) as error:
        raise MeasureError(f"{server.contender.name} gave a wrong answer: {error}") from error


def require_right(requests: Requests, url: str, rows: int, timeout_s: float = 30.0) -> None:
    """Ask for the images of the first ``rows`` latents, and compare them with the right ones.

    A server that takes no latents, as older ones of ours, is asked for as many images of seeds.

    Raises:
        WrongAnswer: they differ by more than the tolerance.
        OSError, ValueError: there is no answer, or it does not decode.
    """
    try:
        images = requests.of_latents(latents()[:rows]).answer(url, timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != 400:
            raise
        _require_size(requests.of_seed(11, rows).answer(url, timeout_s), rows)
        return
    _require_size(images, rows)
    levels = int(np.abs(images.astype(int) - right_images()[:rows]).max())
    if levels > tolerance():
        raise WrongAnswer(f"an image is {levels} grey levels from the right one")


def _require_size(images: NDArray[np.uint8], n: int) -> None:
    if images.shape != (n, *SHAPE) or images.dtype != np.uint8:
        raise WrongAnswer(f"{n} images are {images.dtype} {images.shape}")


def first_right_s(server: Running, since: float) -> float:
    """Return the seconds from ``since`` until the server has drawn one right image.

    ``since`` is a time of ``time.perf_counter``.

    Raises:
        MeasureError: it drew none in time.
    """
    ends = time.perf_counter() + RIGHT_WITHIN_S
    while True:
        try:
            require_right(server.requests, server.url, 1)
        except (OSError, ValueError, WrongAnswer) as error:
            if time.perf_counter() > ends:
                raise MeasureError(
                    f"no right image within {RIGHT_WITHIN_S:g} s: {error}"
                ) from error
        else:
            return time.perf_counter() - since

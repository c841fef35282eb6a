"""The deployment that Ray Serve runs; ``ray_serve`` starts it."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from loadtests.peers import IMAGES_PATH
from loadtests.peers.drawing import MAX_BATCH_SIZE, drawn_together, latents_wanted, npy, opened, png

WAIT_S = 0.005
"""The longest that the first request of a batch waits for more, as long as mosec's."""


def rows(parts: Sequence[NDArray[np.float32]]) -> int:
    """Return how many images the requests of a batch ask for, by which batches are limited."""
    return sum(map(len, parts))


class Draw:
    """Draws the images of batches of requests, and encodes them."""

    def __init__(self) -> None:
        self._session = opened()

    @serve.batch(  # type: ignore[untyped-decorator]
        max_batch_size=MAX_BATCH_SIZE, batch_wait_timeout_s=WAIT_S, batch_size_fn=rows
    )
    async def draw(self, parts: list[NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
        """Return the images of each request: uint8 [n, H, W, C]."""
        return await asyncio.to_thread(drawn_together, self._session, parts)

    async def __call__(self, request: Request) -> Response:
        """Answer with a PNG or with several images as npy; at other paths, that it is ready."""
        path = request.url.path
        if request.method == "POST":
            drawn = await self.draw(latents_wanted(await request.json()))
            return Response(npy(drawn), media_type="application/x-npy")
        if path.startswith(f"{IMAGES_PATH}/"):
            seed = int(path.removeprefix(f"{IMAGES_PATH}/").removesuffix(".png"))
            drawn = await self.draw(latents_wanted({"seed": seed, "n": 1}))
            return Response(png(drawn[0]), media_type="image/png")
        return Response("{}", media_type="application/json")

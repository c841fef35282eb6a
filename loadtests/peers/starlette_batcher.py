"""Starlette on uvicorn with a batcher by hand: ``python -m loadtests.peers.starlette_batcher``.

The server has one process, one session of ONNX Runtime on all processors, and one thread that runs
the requests that have come in meanwhile as one batch. The graph, the runtime and the number of
threads are those of the server with which it is compared. Its latents are standard normal numbers
from the seed, but not the same ones.
"""

import argparse
import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loadtests.peers.drawing import latents_of, opened, png, run

MAX_BATCH_SIZE = 64


@dataclass(eq=False)
class Waiting:
    """A request of ``n`` images that waits for its turn; ``images`` is set when they are drawn."""

    seed: int
    n: int
    images: "asyncio.Future[NDArray[np.uint8]]"


class Batcher:
    """Runs the requests that wait as one batch, as soon as the batch before has run."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(1)
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue()

    async def draw(self, seed: int, n: int) -> NDArray[np.uint8]:
        """Return the images of ``seed`` and the ``n - 1`` seeds after it: uint8 [n, H, W, C]."""
        waiting = Waiting(seed, n, asyncio.get_running_loop().create_future())
        self._waiting.put_nowait(waiting)
        return await waiting.images

    async def serve(self) -> None:
        """Run batches for as long as the server runs."""
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            while sum(x.n for x in batch) < MAX_BATCH_SIZE and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            images = await loop.run_in_executor(self._thread, self._run, batch)
            start = 0
            for waiting in batch:
                waiting.images.set_result(images[start : start + waiting.n])
                start += waiting.n

    def _run(self, batch: Sequence[Waiting]) -> NDArray[np.uint8]:
        seeds = [waiting.seed + i for waiting in batch for i in range(waiting.n)]
        return run(self._session, np.stack([latents_of(seed) for seed in seeds]))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    uvicorn.run(app_of(Batcher(opened())), port=args.port, log_level="warning", access_log=False)


def app_of(batcher: Batcher) -> Starlette:
    """Return the application, with the routes of our server that the comparison needs."""
    tasks: list[asyncio.Task[None]] = []

    async def ready(_: Request) -> Response:
        if not tasks:
            tasks.append(asyncio.create_task(batcher.serve()))
        return JSONResponse({"ready": True})

    async def image(request: Request) -> Response:
        images = await batcher.draw(int(request.path_params["seed"]), 1)
        return Response(png(images[0]), media_type="image/png")

    async def images(request: Request) -> Response:
        wanted = await request.json()
        drawn = await batcher.draw(wanted["seed"], wanted["n"])
        file = io.BytesIO()
        np.save(file, drawn)
        return Response(file.getvalue(), media_type="application/x-npy")

    return Starlette(
        routes=[
            Route("/readyz", ready),
            Route("/v1/images/{seed:int}.png", image),
            Route("/v1/images", images, methods=["POST"]),
        ]
    )


if __name__ == "__main__":
    main()

"""Starlette on uvicorn with a batcher by hand: ``python -m loadtests.peers.starlette_batcher``.

The server has one process, one session of ONNX Runtime on all processors, and one thread that runs
the requests that have come in meanwhile as one batch: it waits for nothing.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loadtests.peers import IMAGES_PATH
from loadtests.peers.drawing import MAX_BATCH_SIZE, latents_wanted, npy, opened, png, run


@dataclass(eq=False)
class Waiting:
    """A request that waits for its turn; ``images`` is set when they are drawn."""

    wanted: dict[str, Any]
    n: int
    images: "asyncio.Future[NDArray[np.uint8]]"


class Batcher:
    """Runs the requests that wait as one batch, as soon as the batch before has run."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(1)
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue()

    async def draw(self, wanted: dict[str, Any]) -> NDArray[np.uint8]:
        """Return the images that a document asks for: uint8 [n, H, W, C]."""
        n = len(wanted["latents"]) if "latents" in wanted else wanted["n"]
        waiting = Waiting(wanted, n, asyncio.get_running_loop().create_future())
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
        return run(self._session, np.concatenate([latents_wanted(x.wanted) for x in batch]))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    uvicorn.run(app_of(Batcher(opened())), port=args.port, log_level="warning", access_log=False)


def app_of(batcher: Batcher) -> Starlette:
    """Return the application, with the routes of our server that the comparison needs."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.serve())
        yield
        task.cancel()

    async def ready(_: Request) -> Response:
        return JSONResponse({"ready": True})

    async def image(request: Request) -> Response:
        images = await batcher.draw({"seed": request.path_params["seed"], "n": 1})
        return Response(png(images[0]), media_type="image/png")

    async def images(request: Request) -> Response:
        drawn = await batcher.draw(await request.json())
        return Response(npy(drawn), media_type="application/x-npy")

    return Starlette(
        routes=[
            Route("/readyz", ready),
            Route(f"{IMAGES_PATH}/{{seed:int}}.png", image),
            Route(IMAGES_PATH, images, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


if __name__ == "__main__":
    main()

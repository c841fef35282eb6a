"""Starlette on uvicorn with a batcher by hand: ``python -m loadtests.peers.starlette_batcher``.

The server has one process, one session of ONNX Runtime on all processors, and one thread that runs
the requests that have come in meanwhile as one batch. The graph, the runtime and the number of
threads are those of the server with which it is compared. Its latents are standard normal numbers
from the seed, but not the same ones.
"""

import argparse
import asyncio
import io
import json
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

GRAPH = Path("models/cars-dcgan/2/generator.onnx")
LATENT_DIM = 100
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
    session = opened()
    for rows in (1, 2, 4, 8, 16, 32, 64):
        run(session, np.zeros((rows, LATENT_DIM), np.float32))
    uvicorn.run(app_of(Batcher(session)), port=args.port, log_level="warning", access_log=False)


def opened() -> Any:
    """Return a session on OpenVINO in bfloat16 if it is built in, else on the CPU provider."""
    options = ort.SessionOptions()
    threads = len(os.sched_getaffinity(0))
    if "OpenVINOExecutionProvider" not in ort.get_available_providers():
        options.intra_op_num_threads = threads
        return ort.InferenceSession(str(GRAPH), options, providers=["CPUExecutionProvider"])
    options.intra_op_num_threads = 1
    cpu = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": str(threads)}
    settings = {"device_type": "CPU", "load_config": json.dumps({"CPU": cpu})}
    provider = ("OpenVINOExecutionProvider", settings)
    return ort.InferenceSession(str(GRAPH), options, providers=[provider])


def run(session: Any, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the images of ``latents``: float32 [n, latent_dim] to uint8 [n, H, W, C]."""
    images: NDArray[np.uint8] = session.run(None, {session.get_inputs()[0].name: latents})[0]
    return images


def latents_of(seed: int) -> NDArray[np.float32]:
    """Return latents of ``seed``: float32 [latent_dim], standard normal."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return generator.standard_normal(LATENT_DIM, np.float32)


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


def png(image: NDArray[np.uint8]) -> bytes:
    """Return ``image``, uint8 [H, W, 3], as a PNG whose pixels are stored, not compressed."""
    height, width, _ = image.shape
    lines = np.zeros((height, 1 + width * 3), np.uint8)
    lines[:, 1:] = image.reshape(height, -1)
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in chunks
    )


if __name__ == "__main__":
    main()

"""BentoML with its adaptive batching: ``python -m loadtests.peers.bentoml_service``.

There are two services, as BentoML's pages have them where one prepares what another infers: the
first takes requests and encodes, the second has the session on all processors, and its dispatcher
makes batches of the rows that wait, as many as it finds worth waiting for.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import bentoml
import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtests.peers import IMAGES_PATH
from loadtests.peers.drawing import MAX_BATCH_SIZE, latents_wanted, npy, opened, png, run
from loadtests.serving import ROOT

TIMEOUT_S = 60
"""The limit on a request, as long as the load generator's."""
PREFIX, _, NAME = IMAGES_PATH.rpartition("/")
QUIET = {"access": {"enabled": False}}


async def _image(request: Request) -> Response:
    drawn = await _drawn({"seed": request.path_params["seed"], "n": 1})
    return Response(png(drawn[0]), media_type="image/png")


async def _images(request: Request) -> Response:
    return Response(npy(await _drawn(await request.json())), media_type="application/x-npy")


async def _drawn(wanted: dict[str, object]) -> NDArray[np.uint8]:
    """Return the images that a document asks for: uint8 [n, H, W, C]."""
    drawer = bentoml.get_current_service().drawer
    images: NDArray[np.uint8] = await drawer.to_async.draw(latents_wanted(wanted))
    return images


ROUTES = Starlette(
    routes=[
        Route(f"/{NAME}/{{seed:int}}.png", _image),
        Route(f"/{NAME}", _images, methods=["POST"]),
    ]
)


@bentoml.service(workers=1, traffic={"timeout": TIMEOUT_S}, logging=QUIET)
class Drawer:
    """Draws, in a process of its own."""

    def __init__(self) -> None:
        self._session = opened()

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=TIMEOUT_S * 1000
    )
    def draw(self, latents: np.ndarray) -> np.ndarray:
        """Return the images of a batch: float32 [n, latent_dim] to uint8 [n, H, W, C]."""
        return run(self._session, latents)


@bentoml.service(workers=1, traffic={"timeout": TIMEOUT_S}, logging=QUIET)
@bentoml.asgi_app(ROUTES, path=PREFIX)
class Front:
    """Takes requests, makes latents of seeds, and encodes."""

    drawer = bentoml.depends(Drawer)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    os.environ |= {
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": tempfile.mkdtemp(prefix="bentoml-"),
        "PYTHONPATH": str(ROOT),
    }
    bento = str(Path(sys.executable).with_name("bentoml"))
    command = [bento, "serve", f"{__spec__.name}:Front", "--host=127.0.0.1", f"--port={args.port}"]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()

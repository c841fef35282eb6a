"""LitServe with its batching: ``python -m loadtests.peers.litserve_api``.

One process holds the session on all processors, and draws the requests that came within the batch
timeout as one batch. A process of uvicorn takes requests and sends answers, over LitServe's fast
queue. A worker that dies is started again. The path is fixed.
"""

import argparse
from typing import Any

import litserve
import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from loadtests.peers import IMAGES_PATH
from loadtests.peers.drawing import MAX_BATCH_SIZE, body_of, drawn_together, latents_wanted, opened

BATCH_TIMEOUT_S = 0.005
"""The longest that the first request of a batch waits for more, as long as mosec's."""
TIMEOUT_S = 60
"""The limit on a request, as long as the load generator's."""


class Draw(litserve.LitAPI):  # type: ignore[misc]
    """Draws the images of a batch of requests, each ``{"n": ..., "seed": ...}``."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe hands it over
        """Open the session, in the process that draws."""
        self._session = opened()

    def decode_request(self, request: dict[str, Any]) -> NDArray[np.float32]:
        """Return the latents of one request: float32 [n, latent_dim]."""
        return latents_wanted(request)

    def batch(self, inputs: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return the requests as they are, since each has a number of images of its own."""
        return inputs

    def predict(self, parts: list[NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
        """Return the images of each request: uint8 [n, H, W, C]."""
        return drawn_together(self._session, parts)

    def unbatch(self, output: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Return the images of each request, which are apart already."""
        return output

    def encode_response(self, output: NDArray[np.uint8]) -> Response:
        """Return the answer with the images ``output``: uint8 [n, H, W, C]."""
        return Response(body_of(output), media_type="application/octet-stream")


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    draw = Draw(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_S, api_path=IMAGES_PATH)
    server = litserve.LitServer(
        draw, accelerator="cpu", timeout=TIMEOUT_S, fast_queue=True, restart_workers=True
    )
    server.run(host="127.0.0.1", port=args.port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()

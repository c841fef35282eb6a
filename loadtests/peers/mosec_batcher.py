"""mosec with its dynamic batching: ``python -m loadtests.peers.mosec_batcher``.

mosec's front, in Rust, has the connections and the queue. Its first stage is one process with one
session of ONNX Runtime on all processors, which runs the requests that have waited as one batch.
Its second stage encodes, beside the first, as mosec recommends. The front takes bodies at fixed
paths alone.
"""

import argparse
import sys
from typing import Any

import numpy as np
from mosec import Server, Worker
from numpy.typing import NDArray

from loadtests.peers import IMAGES_PATH
from loadtests.peers.drawing import MAX_BATCH_SIZE, body_of, drawn_together, latents_wanted, opened

WAIT_MS = 5
"""The longest that the first request of a batch waits for more. Of 0, 1, 2 and 5 it was 5 that gave
the most images a second over 128 connections; one connection waits as long for nothing."""
ENCODERS = 1
"""The processes that encode. 0 encodes in the process that draws: less processor time an image, but
fewer images a second on two busy processors, as with 2."""
TIMEOUT_MS = 60_000
"""The limit on a request, as long as the load generator's: mosec's own is 3 s."""


class Draw(Worker):  # type: ignore[misc]
    """Draws the images of a batch of requests, each ``{"n": ..., "seed": ...}``."""

    def __init__(self) -> None:
        super().__init__()
        self._session = opened()

    def forward(self, data: list[dict[str, Any]]) -> list[NDArray[np.uint8]]:
        """Return the images of each request: uint8 [n, H, W, C]."""
        return drawn_together(self._session, [latents_wanted(wanted) for wanted in data])


class Encode(Worker):  # type: ignore[misc]
    """Encodes the images of one request: one as PNG, several as npy."""

    resp_mime_type = "application/octet-stream"

    def forward(self, data: NDArray[np.uint8]) -> bytes:
        """Return the body with the images ``data``, uint8 [n, H, W, C]."""
        return body_of(data)

    def serialize(self, data: bytes) -> bytes:
        """Return ``data``, which is the body already."""
        return data


class DrawAndEncode(Draw):
    """Draws, and encodes in the same process."""

    resp_mime_type = Encode.resp_mime_type

    def serialize(self, data: NDArray[np.uint8]) -> bytes:
        """Return the body with the images ``data``, uint8 [n, H, W, C]."""
        return body_of(data)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    parser.add_argument("--wait-ms", type=int, default=WAIT_MS, help="longest wait for a batch")
    parser.add_argument("--encoders", type=int, default=ENCODERS, help="processes that encode")
    args = parser.parse_args()
    # mosec reads its settings from the command line, and a wait of 0 from nowhere else.
    sys.argv[1:] = ["--address=127.0.0.1", f"--port={args.port}", "--log-level=error"]
    sys.argv += [f"--timeout={TIMEOUT_MS}", f"--wait={args.wait_ms}"]
    server = Server()
    first = Draw if args.encoders else DrawAndEncode
    server.append_worker(first, max_batch_size=MAX_BATCH_SIZE, route=IMAGES_PATH)
    if args.encoders:
        server.append_worker(Encode, num=args.encoders, route=IMAGES_PATH)
    server.run()


if __name__ == "__main__":
    main()

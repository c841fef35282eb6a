"""mosec with its dynamic batching: ``python -m loadtests.peers.mosec_batcher``.

mosec's front, in Rust, has the connections and the queue. Its first stage is one process with one
session of ONNX Runtime on all processors, which runs the requests that have waited as one batch.
Its second stage encodes, beside the first, as mosec recommends. The front takes bodies at fixed
paths alone, so this peer is asked as ``loadtests.peers.requests`` says. The graph, the runtime, the
number of threads and the PNGs are those of the other peers.
"""

import argparse
import io
import sys
from typing import Any

import numpy as np
from mosec import Server, Worker
from numpy.typing import NDArray

from loadtests.peers.drawing import latents_of, opened, png, run
from loadtests.peers.requests import IMAGES_PATH

MAX_BATCH_SIZE = 64
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
        """Return the images of each request: uint8 [n, H, W, C].

        mosec counts requests, not images: more than 64 images are drawn 64 at a time.
        """
        seeds = [wanted["seed"] + i for wanted in data for i in range(wanted["n"])]
        latents = np.stack([latents_of(seed) for seed in seeds])
        starts = range(0, len(seeds), MAX_BATCH_SIZE)
        parts = [run(self._session, latents[i : i + MAX_BATCH_SIZE]) for i in starts]
        ends = np.cumsum([wanted["n"] for wanted in data])
        return np.split(np.concatenate(parts), ends[:-1])


class Encode(Worker):  # type: ignore[misc]
    """Encodes the images of one request: one as PNG, several as npy."""

    resp_mime_type = "application/octet-stream"

    def forward(self, data: NDArray[np.uint8]) -> bytes:
        """Return the body with the images ``data``, uint8 [n, H, W, C]."""
        if len(data) == 1:
            return png(data[0])
        file = io.BytesIO()
        np.save(file, data)
        return file.getvalue()

    def serialize(self, data: bytes) -> bytes:
        """Return ``data``, which is the body already."""
        return data


class DrawAndEncode(Draw):
    """Draws, and encodes in the same process."""

    resp_mime_type = Encode.resp_mime_type

    def serialize(self, data: NDArray[np.uint8]) -> bytes:
        """Return the body with the images ``data``, uint8 [n, H, W, C]."""
        return Encode.forward(self, data)


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

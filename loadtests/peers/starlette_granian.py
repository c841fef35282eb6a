"""Starlette on granian, with the same batcher: ``python -m loadtests.peers.starlette_granian``.

granian's process in Rust has the connections; its one worker runs the application, with one session
of ONNX Runtime on all processors. A worker that dies is started again.
"""

import argparse

from granian import Granian
from granian.constants import Interfaces
from starlette.applications import Starlette

from loadtests.peers.drawing import opened
from loadtests.peers.starlette_batcher import Batcher, app_of


def app() -> Starlette:
    """Return the application of the worker, which has opened the session."""
    return app_of(Batcher(opened()))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    server = Granian(
        f"{__spec__.name}:app",
        address="127.0.0.1",
        port=args.port,
        interface=Interfaces.ASGI,
        workers=1,
        factory=True,
        websockets=False,
        respawn_failed_workers=True,
    )
    server.serve()


if __name__ == "__main__":
    main()

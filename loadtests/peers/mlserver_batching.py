"""MLServer with its adaptive batching: ``python -m loadtests.peers.mlserver_batching``.

One process takes requests, makes batches of them, and has the session on all processors, on which
a thread draws. MLServer's workers, which are for models that Python keeps busy, are off: requests
to a runtime's own paths get to them one by one, past the batching.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from loadtests.peers.drawing import MAX_BATCH_SIZE
from loadtests.serving import ROOT, free_port

NAME = "cars-dcgan"
WAIT_S = 0.005
"""The longest that the first request of a batch waits for more, as long as mosec's."""


def laid_out(folder: Path, port: int) -> None:
    """Write the settings of the server and of its model into ``folder``."""
    server = {
        "debug": False,
        "gzip_enabled": False,
        "grpc_port": free_port(),
        "host": "127.0.0.1",
        "http_port": port,
        "metrics_endpoint": None,
        "parallel_workers": 0,
    }
    model = {
        "implementation": "loadtests.peers.mlserver_runtime.Draw",
        "max_batch_size": MAX_BATCH_SIZE,
        "max_batch_time": WAIT_S,
        "name": NAME,
    }
    (folder / NAME).mkdir()
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / NAME / "model-settings.json").write_text(json.dumps(model))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    laid_out(folder, args.port)
    os.environ["PYTHONPATH"] = str(ROOT)
    os.chdir(folder)
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", "."])


if __name__ == "__main__":
    main()

"""Loads a server on a machine that is busy with other things, and sees that none of its processes
is taken for one that hangs.

``--busy`` processes compute without pause, and one writes to the disk. At the end all processes of
the server are frozen for a few seconds, as a container may be. Each must be there still.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtests.readings import hardware
from loadtests.serving import Server, ServerFailed, serving
from tests.chaos.callers import Client, Clients
from tests.chaos.processes import family

COMPUTE = "while True: pass"
WRITE = """
import os
with open("much", "wb", 0) as file:
    while True:
        file.seek(0)
        file.write(bytes(100_000_000))
        os.fsync(file.fileno())
"""
FROZEN_S = 6.0


def main(argv: list[str] | None = None) -> int:
    """Load the server as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.busy", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="HTTP workers (2)")
    parser.add_argument("--busy", type=int, default=40, help="processes that compute (40)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument("--clients", type=int, default=16, help="at the same time (16)")
    parser.add_argument("--python", default=sys.executable, help="the serving interpreter")
    args = parser.parse_args(argv)
    try:
        with serving(args.python, {"CARFRONT_WORKERS": str(args.workers)}) as server:
            return withstand(server, args)
    except ServerFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def withstand(server: Server, args: argparse.Namespace) -> int:
    """Load and freeze ``server``, print what came of it, and return the exit status."""
    before = family(server.pid)
    golden = Client(server.url).npy(0, 64)
    with busy(args.busy):
        clients = Clients(server.url, golden, args.clients)
        try:
            time.sleep(args.seconds)
        finally:
            clients.stop()
    os.killpg(server.pid, signal.SIGSTOP)
    try:
        time.sleep(FROZEN_S)
    finally:
        os.killpg(server.pid, signal.SIGCONT)
    Client(server.url).png(0)
    time.sleep(3)  # gunicorn looks once a second
    same = family(server.pid) == before
    print(f"{hardware()}; {args.workers} HTTP workers beside {args.busy} busy processes")
    print(", ".join(f"{value:,} {name}" for name, value in sorted(clients.counts.items())))
    failed = not same or clients.counts["wrong answers"] or clients.errors
    print("a process was replaced, or a request failed" if failed else "all processes are there")
    return 1 if failed else 0


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Have ``count`` processes compute, and one more write to the disk, while the block runs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carfront-busy-")))
        for program in [COMPUTE] * count + [WRITE]:
            process = subprocess.Popen([sys.executable, "-c", program], cwd=folder)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


if __name__ == "__main__":
    sys.exit(main())

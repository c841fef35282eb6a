"""A server that runs for as long as a ``with`` block lasts."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = ("-m", "gunicorn", "-c", "server/gunicorn.conf.py")
POLL_S = 0.05
LAST_CHILD_S = 2.0
"""The seconds in which children end by themselves whose leader has ended."""
PORTS = range(20_000, 32_768)
"""The ports that servers get: Linux gives those above to connections by itself."""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerFailed(Exception):
    """A server did not become ready, ended by itself, or did not stop as it should."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    pid: int
    """The id of gunicorn's arbiter, which leads a process group of its own."""
    log: Path
    """The file with the server's output; it is removed when the block and the server end well."""


@contextmanager
def serving(
    python: str | Path = sys.executable,
    env: Mapping[str, str] | None = None,
    ready_within_s: float = 300.0,
    stop_within_s: float = 40.0,
    last_child_s: float = LAST_CHILD_S,
    checkout: Path = ROOT,
    launcher: Sequence[str] = (),
) -> Iterator[Server]:
    """Start a server on a free loopback port, wait until it is ready, and stop it at the end.

    ``python`` is the interpreter of the serving environment; ``env`` is laid over this process's
    environment. ``checkout`` is the directory whose server is started, and ``launcher`` a program
    with arguments that starts the command behind them. SIGTERM must end the server with status 0,
    and its children ``last_child_s`` later: that is checked whenever the block itself ends well. No
    process of the server's group outlives the block.

    Raises:
        ServerFailed: the server did not become or stay ready, or did not stop; the message ends
            with its last log lines.
    """
    python = Path(python).absolute() if os.sep in str(python) else python  # not the checkout's
    port = free_port()
    own = {"CARFRONT_HOST": "127.0.0.1", "CARFRONT_PORT": str(port)}
    descriptor, name = tempfile.mkstemp(prefix="carfront-server-", suffix=".log")
    with os.fdopen(descriptor, "wb") as output:
        process = subprocess.Popen(
            [*launcher, str(python), *COMMAND],
            cwd=checkout,
            env={**os.environ, **(env or {}), **own},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # this process passes a terminal's Ctrl-C on in its own order
        )
    server = Server(f"http://127.0.0.1:{port}", process.pid, Path(name))
    try:
        _wait_until_ready(server, process, ready_within_s)
        yield server
    finally:
        trouble = _stop(process, stop_within_s, last_child_s)
    if trouble:
        raise ServerFailed(f"{trouble}\n{last_lines(server.log)}")
    server.log.unlink()


def free_port() -> int:
    """Return a loopback port on which no process listens now.

    No connection is given it by the system before the server listens, and hardly another server:
    the choice is not that of ``random``, which several processes may have seeded alike.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):  # it is taken
            probe.bind(("127.0.0.1", port))
            return port


def is_ready(url: str, timeout_s: float = 2.0) -> bool:
    """Return whether the server at ``url`` reports that it can serve."""
    try:
        get(f"{url}/readyz", timeout_s)
    except (OSError, urllib.error.URLError):
        return False
    return True


def get(url: str, timeout_s: float = 120.0) -> bytes:
    """Return the body at ``url``, requested without any proxy.

    Raises:
        OSError: no server answers, or its status is not 2xx.
    """
    with _opener.open(url, timeout=timeout_s) as response:
        return bytes(response.read())


def last_lines(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log, indented, below its path."""
    tail = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"the server's log, {log}, ends:", *(f"    {line}" for line in tail)])


def _wait_until_ready(
    server: Server, process: subprocess.Popen[bytes], ready_within_s: float
) -> None:
    deadline = time.monotonic() + ready_within_s
    while process.poll() is None:
        if is_ready(server.url):
            return
        if time.monotonic() > deadline:
            why = f"the server was not ready within {ready_within_s:g} s"
            raise ServerFailed(f"{why}\n{last_lines(server.log)}")
        time.sleep(POLL_S)
    why = f"the server ended with status {process.returncode} before it was ready"
    raise ServerFailed(f"{why}\n{last_lines(server.log)}")


def _stop(process: subprocess.Popen[bytes], within_s: float, last_child_s: float) -> str:
    """End the server and its process group; return the fault of its end, or an empty text."""
    try:
        if process.poll() is not None:
            return f"the server ended by itself with status {process.returncode}"
        process.terminate()
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return f"the server did not stop within {within_s:g} s of SIGTERM"
    finally:
        left = _end_group(process, last_child_s)
    if process.returncode:
        return f"the server ended with status {process.returncode} after SIGTERM, wanted 0"
    return "the server left processes of its own behind" if left else ""


def _end_group(process: subprocess.Popen[bytes], last_child_s: float) -> bool:
    """Kill the rest of the server's process group; return whether a process outlived its leader.

    The children of a leader that has just ended get ``last_child_s`` to end by themselves.
    """
    deadline = time.monotonic() + last_child_s
    while process.poll() is not None and time.monotonic() < deadline:
        if not _runs(process.pid):
            return False
        time.sleep(POLL_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def _runs(group: int) -> bool:
    """Return whether a process of ``group`` runs; a zombie has ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process ended meanwhile
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False

"""The servers that are compared, and how one of them is started and stopped."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.compare import processes
from loadtests.peers.catalog import PEERS, Peer, peer_of
from loadtests.peers.requests import OURS, Requests
from loadtests.readings import MeasureError
from loadtests.serving import COMMAND, ROOT, free_port

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 40.0
POLL_S = 0.005
SETTLE_S = 4.0
"""The seconds for which a ready server is left alone, since some warm up while they serve."""


@dataclass(frozen=True)
class Contender:
    """One of the servers that are compared."""

    name: str
    place: str
    """The directory of a checkout of this repository, or the module of a peer."""
    python: str
    """The interpreter that starts it; empty for a peer whose own environment is yet to be found."""

    def command(self, port: int) -> list[str]:
        """Return the command that starts the server on a loopback port."""
        if self.is_ours:
            return [self.python, *COMMAND]
        return [self.python, "-m", self.place, f"--port={port}"]

    @property
    def is_ours(self) -> bool:
        """Whether it is this repository's server."""
        return Path(self.place).is_dir()

    @property
    def peer(self) -> Peer | None:
        """The peer that it is, if it is one."""
        return peer_of(self.place)

    @property
    def requests(self) -> Requests:
        """The requests with which the server is asked."""
        return self.peer.requests if self.peer else OURS

    @property
    def folder(self) -> Path:
        """Return the directory in which the server is started."""
        return Path(self.place) if self.is_ours else ROOT


@dataclass(frozen=True)
class Running:
    """A server that has been started, and is ready."""

    contender: Contender
    url: str
    pid: int
    began: float
    """When it was started, by ``time.perf_counter``."""
    start_s: float
    """The seconds from its start until it was ready."""

    @property
    def requests(self) -> Requests:
        """The requests with which it is asked."""
        return self.contender.requests


def contender_of(text: str, python: str) -> Contender:
    """Return the server that the command line calls ``NAME=PLACE``, or a peer by its name alone.

    Raises:
        ValueError: there is no such peer, or the name or the place is missing.
    """
    name, _, place = text.partition("=")
    if text in PEERS:
        return Contender(text, PEERS[text].module, "")
    if not (name and place):
        raise ValueError(f"{text!r} is neither NAME=PLACE nor one of {', '.join(PEERS)}")
    return Contender(name, place, python)


@contextmanager
def started(contender: Contender) -> Iterator[tuple[str, float]]:
    """Run a server until the block ends; yield its URL, and the seconds until it was ready.

    Raises:
        MeasureError: the server did not become ready.
    """
    with running(contender) as server:
        yield server.url, server.start_s


@contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """Run a server until the block ends; none of its processes outlives it.

    Raises:
        MeasureError: the server did not become ready.
    """
    port = free_port()
    own = {"CARFRONT_HOST": "127.0.0.1", "CARFRONT_PORT": str(port)}
    folders = tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log, folders as folder:
        if not contender.is_ours:  # a peer that is killed leaves its files
            own["TMPDIR"] = folder
        began = time.perf_counter()
        process = subprocess.Popen(
            contender.command(port),
            cwd=contender.folder,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not contender.requests.is_ready(url):
                if process.poll() is not None or time.perf_counter() - began > READY_WITHIN_S:
                    log.seek(0)
                    end = log.read()[-2000:].decode(errors="replace")
                    raise MeasureError(f"{contender.name} did not become ready: {end}")
                time.sleep(POLL_S)
            yield Running(contender, url, process.pid, began, time.perf_counter() - began)
        finally:
            _stop(contender, process)


def _stop(contender: Contender, process: subprocess.Popen[bytes]) -> None:
    """End the server's processes.

    Raises:
        MeasureError: our server did not stop in time; how peers end is not compared.
    """
    family = processes.family(process.pid)
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if contender.is_ours:
            raise MeasureError(f"{contender.name} did not stop") from None
    finally:
        processes.kill(family)

"""What can happen to a server, and how long it may take to notice."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.serving import Server, get, serving
from server.config import ServerConfig
from tests.bundles import copy_version
from tests.chaos.processes import family, is_whole, stands_still
from tests.patience import PATIENCE_S

SABOTAGE = Path(__file__).parent / "sabotage"
"""On the server's Python path, this has ONNX Runtime fail on demand."""
BATCH_HANGS_S = ServerConfig().batch_timeout_ms / 1000
"""After this time the engine itself takes a batch for one that hangs."""
LOOK_S = 10.0
"""The seconds that a look at a server takes at most: an HTTP worker that hangs answers none."""
ENGINE_HANGS_S = ServerConfig().silence_s + 2
"""After this time gunicorn has killed an engine that hangs: it looks once a second, and has the
engine abort first."""


@dataclass(frozen=True)
class Victim:
    """A running server that may be harmed, and where it keeps what."""

    server: Server
    folder: Path
    worker_count: int
    """How many HTTP workers it should have."""

    @property
    def models(self) -> Path:
        """Its model repository; version 1 is there."""
        return self.folder / "models"

    @property
    def socket(self) -> Path:
        """Where its engine listens."""
        return self.folder / "engine-0" / "engine.sock"

    @property
    def order(self) -> Path:
        """What the next batch shall do, see ``sabotage``."""
        return self.folder / "sabotage"

    def is_whole(self) -> bool:
        """Whether every process of the server is there, no other is, and the engine answers."""
        if not is_whole(self.server.pid, self.worker_count):
            return False
        try:
            metrics = get(f"{self.server.url}/metrics", LOOK_S).decode()
        except OSError:
            return False
        return 'carfront_engine_up{engine="0"} 1.0' in metrics

    @property
    def workers(self) -> list[int]:
        """The pids of its HTTP workers."""
        return family(self.server.pid)[0]

    @property
    def engines(self) -> list[int]:
        """The pids of its engines."""
        return family(self.server.pid)[1]

    @property
    def arbiters(self) -> list[int]:
        """The pid of its engines' arbiter."""
        return family(self.server.pid)[2]


@dataclass(frozen=True)
class Fault:
    """One thing that happens."""

    name: str
    strike: Callable[[Victim], None]
    noticed_in_s: float = 0.0
    """How long the server takes to notice, at most, while nobody is answered."""


@contextmanager
def victim(
    python: str | Path,
    folder: Path,
    worker_count: int = 2,
    settings: Mapping[str, str] | None = None,
    start: Callable[..., AbstractContextManager[Server]] = serving,
) -> Iterator[Victim]:
    """Start a server that may be harmed, with its files in ``folder``, and more ``settings``."""
    copy_version(folder / "models", "1")
    environ = {
        "CARFRONT_RUNTIME_DIR": str(folder),
        "CARFRONT_MODELS": str(folder / "models"),
        "CARFRONT_WORKERS": str(worker_count),
        "PYTHONPATH": os.pathsep.join([str(SABOTAGE), os.environ.get("PYTHONPATH", "")]),
        "SABOTAGE": str(folder / "sabotage"),
        **(settings or {}),
    }
    with start(python, environ) as server:
        yield Victim(server, folder, worker_count)


def kill(pids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to the first of ``pids`` that is still there."""
    for pid in pids[:1]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Have processes stand still until the block ends, those that are left by then."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        # On a busy machine the other threads run until the one that gets the signal does.
        until(lambda: all(map(stands_still, pids)), f"of {pids} some do not stop")
        yield
    finally:
        for pid in pids:
            kill([pid], signal.SIGCONT)


def freeze(pids: list[int]) -> None:
    """Stop a process for a second, as a machine that swaps would."""
    kill(pids, signal.SIGSTOP)
    time.sleep(1.0)
    kill(pids, signal.SIGCONT)


def hang(pids: list[int]) -> None:
    """Stop a process for good, and wait until the server has seen to it."""
    kill(pids, signal.SIGSTOP)
    for pid in pids[:1]:
        await_end(Path(f"/proc/{pid}"))


def hang_a_batch(victim: Victim) -> None:
    """Have the next batch hang, and wait until its engine has ended for it."""
    engines = victim.engines
    order(victim, "hang")
    for pid in engines[:1]:
        await_end(Path(f"/proc/{pid}"))


def order(victim: Victim, how: str) -> None:
    """Have the next batch ``hang``, ``raise``, find no ``memory``, or be ``slow``."""
    draft = victim.order.with_suffix(".draft")
    draft.write_text(how)
    draft.rename(victim.order)
    await_end(victim.order)


@contextmanager
def held(victim: Victim, step: str) -> Iterator[int]:
    """Kill the engine, and have the next one wait at ``step`` of its start until the block ends.

    ``import`` or ``load``, see ``sabotage``; yields the pid of the one that waits.
    """
    hold, waiting = victim.order.with_suffix(".hold"), victim.order.with_suffix(".held")
    waiting.unlink(missing_ok=True)
    hold.write_text(step)
    try:
        killed = [str(pid) for pid in victim.engines]  # one of them may wait itself by now
        kill(victim.engines)
        until(lambda: _text(waiting) not in ("", *killed), "no engine waits")
        yield int(waiting.read_text())
    finally:
        hold.unlink()


def _text(path: Path) -> str:
    """Return what is in a file, nothing if there is none."""
    return path.read_text() if path.exists() else ""


def await_end(path: Path) -> None:
    """Return once ``path`` is no more."""
    until(lambda: not path.exists(), f"{path} is still there")


def until(condition: Callable[[], bool], otherwise: str) -> None:
    """Return once ``condition`` holds.

    Raises:
        TimeoutError: it never did; the message is ``otherwise``.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.02)  # between two looks


def switch(victim: Victim) -> None:
    """Have another version of the model take over: the next one appears, or goes again."""
    newer = victim.models / "cars-dcgan" / "2"
    if newer.exists():
        shutil.rmtree(newer)
    else:
        copy_version(victim.models, "2")
    os.kill(victim.server.pid, signal.SIGHUP)


def spoil(victim: Victim) -> None:
    """Have a version appear that cannot be served."""
    newest = victim.models / "cars-dcgan" / "99"
    shutil.rmtree(newest, ignore_errors=True)
    newest.mkdir()
    (newest / "manifest.json").write_text(random.choice(("", "{}", '{"schema_version": 99}')))
    os.kill(victim.server.pid, signal.SIGHUP)


def remove_socket(victim: Victim) -> None:
    """Remove the engine's socket, and kill the engine before it can listen anew."""
    victim.socket.unlink(missing_ok=True)
    kill(victim.engines)


FAULTS = (
    Fault("another version (SIGHUP)", switch),
    Fault("a spoilt version (SIGHUP)", spoil),
    Fault("reload (SIGHUP)", lambda it: os.kill(it.server.pid, signal.SIGHUP)),
    Fault("kill -9 the engine", lambda it: kill(it.engines)),
    Fault("kill -9 an HTTP worker", lambda it: kill(it.workers)),
    Fault("kill -9 the engine's arbiter", lambda it: kill(it.arbiters)),
    Fault("freeze the engine", lambda it: freeze(it.engines), noticed_in_s=1),
    Fault("freeze an HTTP worker", lambda it: freeze(it.workers)),
    Fault("freeze the engine's arbiter", lambda it: freeze(it.arbiters)),
    Fault("the engine hangs", lambda it: hang(it.engines), noticed_in_s=ENGINE_HANGS_S),
    Fault("an HTTP worker hangs", lambda it: hang(it.workers)),
    Fault("a batch hangs", hang_a_batch, noticed_in_s=BATCH_HANGS_S),
    Fault("a batch raises", lambda it: order(it, "raise")),
    Fault("a batch finds no memory", lambda it: order(it, "memory")),
    Fault("remove the socket, kill the engine", remove_socket),
)

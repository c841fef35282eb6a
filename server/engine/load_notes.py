"""Notes of what an engine was loading when it died, and of what it died.

An engine keeps a note while it loads a bundle, and so leaves it to its successor if it dies of it.
The engines' arbiter adds what the engine died of: only a crash may be the bundle's fault. An engine
that nobody saw die, as where a whole container was killed, has no cause.
"""

import logging
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from server.bundle.errors import BundleError, LoadsEnded
from server.engine.watchdog import unhurried
from server.ipc.atomic_file import write_whole
from server.ipc.engine_dir import EngineDir

log = logging.getLogger(__name__)

DEATHS = 2
"""The number of engines that may die while they load a bundle before it is refused: one that
crashed may have done so for another reason."""

CRASHED = "crashed"
"""The cause of an engine that died of a fault in its program, which the bundle may have caused."""
KILLED = "killed"
"""The cause of an engine that was killed with signal 9, as the kernel does for want of memory."""
TIME_LIMIT = "time_limit"
"""The cause of an engine that the server itself killed, as it or a batch of it was silent."""
ENDED = "ended"
"""The cause of an engine that ended itself for another reason, such as a start that failed."""
UNKNOWN = "unknown"
"""The cause of an engine that lives, or that nobody saw die."""
TOLD = {
    CRASHED: "crashed",
    KILLED: "killed (signal 9: by the kernel, if memory ran out)",
    TIME_LIMIT: "ended by the server's own limits of time",
    ENDED: "ended by themselves",
    UNKNOWN: "died unseen",
}
"""The causes in words."""

LIMIT_STATUS = 1
"""The exit status of an engine that its own watchdog ends; ``faulthandler`` has no other one."""
FAILED_STATUS = 4
"""The exit status of an engine that ends as it cannot load, or as requests fail."""
GUNICORN_STATUS = 3
"""The exit status of an engine that gunicorn could not start."""
CRASHES = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}
"""The signals that a fault in a program ends it with."""


def cause_of(status: int, aborted: bool) -> str:
    """Return the cause of an engine's death, empty if it ended because it was told to.

    ``status`` is its exit status, or the negative number of the signal that ended it. An
    ``aborted`` engine was silent for too long, and its arbiter has sent signals to it.
    """
    if aborted:
        return TIME_LIMIT
    if -status in CRASHES:
        return CRASHED
    if status < 0:
        return KILLED
    known = {0: "", LIMIT_STATUS: TIME_LIMIT, FAILED_STATUS: ENDED, GUNICORN_STATUS: ENDED}
    return known.get(status, CRASHED)


@contextmanager
def noted(note: Path, bundle: Path, insist: bool, is_alone: bool = False) -> Iterator[None]:
    """Keep ``note`` while a step of loading ``bundle`` goes on, which the watchdog gives its time.

    With ``insist`` the bundle is loaded whatever happened before. A bundle that ``is_alone``, as no
    other version of it may serve, is loaded if engines were killed while they loaded it.

    Raises:
        BundleError: ``DEATHS`` engines have crashed while they loaded the bundle.
        LoadsEnded: ``DEATHS`` engines have died, but may have been killed.
    """
    before = deaths(note)
    if before.count(CRASHED) >= DEATHS and not insist:
        raise BundleError(
            f"{before.count(CRASHED)} engines crashed while they loaded it; it is not tried again "
            "until its files change, or an administrator loads it"
        )
    if len(before) >= DEATHS and not (insist or is_alone):
        raise LoadsEnded(
            f"{died_of(before)}; it is not tried again until its files change, "
            "an administrator loads it, or the server starts anew"
        )
    if before:
        log.warning("%s is loaded again; %s", bundle, died_of(before))
    begin(note)
    try:
        with unhurried():
            yield
    finally:
        end(note)


def died_of(before: Sequence[str]) -> str:
    """Return in words what engines have died of."""
    told = ", ".join(f"{count} {TOLD[cause]}" for cause, count in Counter(before).items())
    return f"engines that loaded it before: {told}"


def begin(note: Path) -> None:
    """Note that this process begins a load."""
    with suppress(OSError), note.open("a") as lines:  # a full file system takes no note
        lines.write(f"{os.getpid()} {UNKNOWN}\n")


def end(note: Path) -> None:
    """Remove the note, as the load has ended."""
    with suppress(OSError):
        note.unlink(missing_ok=True)


def deaths(note: Path) -> list[str]:
    """Return what the engines died of that have left ``note``, the first one first."""
    found = [line.partition(" ")[2] for line in _lines(note)]
    return [cause if cause in TOLD else UNKNOWN for cause in found]


def is_loading(engine_dir: EngineDir, pid: int) -> bool:
    """Return whether the engine of that process id is loading something."""
    return any(lines[-1:] == [f"{pid} {UNKNOWN}"] for lines in map(_lines, engine_dir.all_notes))


def witness(engine_dir: EngineDir, pid: int, cause: str) -> None:
    """Note of what the engine of that process id has died; nothing is to blame without a cause."""
    if cause:
        with suppress(OSError):
            write_whole(engine_dir.death, cause)
    for note in engine_dir.all_notes:
        lines = _lines(note)
        if lines[-1:] == [f"{pid} {UNKNOWN}"]:
            lines = lines[:-1] + [f"{pid} {cause}"] * bool(cause)
            with suppress(OSError):
                write_whole(note, "".join(f"{line}\n" for line in lines))


def last_death(engine_dir: EngineDir) -> str:
    """Return what the engine before this one has died of, once; empty if nobody saw it die."""
    try:
        cause = engine_dir.death.read_text()
        engine_dir.death.unlink()
    except OSError:
        return ""
    return cause


def _lines(note: Path) -> list[str]:
    try:
        return note.read_text().splitlines()
    except (OSError, ValueError):
        return []

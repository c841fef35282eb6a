"""The processes of this machine, read from ``/proc``: who started whom, in which session."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process, which may have ended already and wait for its parent to take note."""

    pid: int
    parent: int
    session: int


def processes() -> Iterator[Process]:
    """Yield every process that is there now.

    Source: proc_pid_stat(5). The second field is the program's name in parentheses, which may
    hold spaces and parentheses itself.
    """
    for stat in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended while we looked
            _, parent, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            yield Process(int(stat.parent.name), int(parent), int(session))


def family(arbiter: int) -> tuple[list[int], list[int], list[int]]:
    """Return the pids of a server's HTTP workers, its engines, and the engines' arbiter."""
    children: dict[int, list[int]] = {}
    for process in sorted(processes(), key=lambda process: process.pid):
        children.setdefault(process.parent, []).append(process.pid)
    own = children.get(arbiter, [])
    arbiters = [pid for pid in own if pid in children]
    workers = [pid for pid in own if pid not in children]
    return workers, [pid for each in arbiters for pid in children[each]], arbiters

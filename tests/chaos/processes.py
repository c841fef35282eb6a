"""The processes of this machine, read from ``/proc``: who started whom, in which session."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
STOPPED = "TtZX"
"""The states of threads that are stopped or have ended. Source: proc(5)."""


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


def stands_still(pid: int) -> bool:
    """Return whether no thread of a process runs; one that has ended has none."""
    for stat in PROC.glob(f"{pid}/task/*/stat"):
        with suppress(OSError):  # it ended while we looked
            if stat.read_text().rpartition(")")[2].split()[0] not in STOPPED:
                return False
    return True


def open_files(pid: int) -> set[tuple[str, int]]:
    """Return the name and the inode of each file, socket and memory that a process has open."""
    found = set()
    for descriptor in PROC.glob(f"{pid}/fd/*"):
        with suppress(OSError):  # it was closed while we looked
            found.add((str(descriptor.readlink()), descriptor.stat().st_ino))
    return found


def family(arbiter: int) -> tuple[list[int], list[int], list[int]]:
    """Return the pids of a server's HTTP workers, its engines, and the engines' arbiter."""
    children: dict[int, list[int]] = {}
    for process in sorted(processes(), key=lambda process: process.pid):
        children.setdefault(process.parent, []).append(process.pid)
    own = children.get(arbiter, [])
    arbiters = [pid for pid in own if pid in children]
    workers = [pid for pid in own if pid not in children]
    return workers, [pid for each in arbiters for pid in children[each]], arbiters


def all_workers_connected(server: int) -> bool:
    """Tell whether every HTTP worker of ``server`` is connected to all of its engines.

    A server is ready when one is; the others may still be starting. An HTTP worker and each engine
    that it is connected to have one arena open both.
    """
    workers, engines, _ = family(server)
    held = [_arenas(engine) for engine in engines]
    return bool(workers and engines) and all(
        _arenas(worker) & each for worker in workers for each in held
    )


def is_whole(server: int, workers: int, engines: int = 1) -> bool:
    """Tell whether ``server`` has so many HTTP workers and engines, all connected, and no others.

    An engine whose arbiter was killed serves on for a while, beside the next one.
    """
    counts = [len(pids) for pids in family(server)]
    found = [process for process in processes() if process.session == server]
    is_all = counts == [workers, engines, 1] and len(found) == 1 + sum(counts)
    return is_all and all_workers_connected(server)


def _arenas(pid: int) -> set[int]:
    """Return the inodes of the arenas that a process has open."""
    return {inode for name, inode in open_files(pid) if "carfront-arena" in name}

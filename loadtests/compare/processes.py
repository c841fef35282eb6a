"""The processes of one server, as the kernel counts them: their CPU time, memory and libraries."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
RUNTIMES = ("onnxruntime", "openvino", "libtensorflow")
"""What the libraries of a process that draws are called."""


@dataclass(frozen=True)
class Process:
    """One process; two that have the same id one after the other began at different times."""

    pid: int
    began: int


def family(leader: int) -> frozenset[Process]:
    """Return the process ``leader``, and all that descend from it."""
    stats = dict(_stats())
    found, count = {leader}, 0
    while len(found) > count:
        count = len(found)
        found |= {pid for pid, stat in stats.items() if int(stat[1]) in found}
    return frozenset(Process(pid, int(stats[pid][19])) for pid in found if pid in stats)


def cpu_s(members: Iterable[Process]) -> dict[Process, float]:
    """Return the CPU seconds of each process until now."""
    stats = dict(_stats())
    return {
        each: sum(map(int, stats[each.pid][11:13])) / TICKS_PER_S
        for each in members
        if each.pid in stats
    }


def spent_s(before: dict[Process, float], after: dict[Process, float]) -> float:
    """Return the CPU seconds that a family spent; a process that is new has spent all of its."""
    return sum(seconds - before.get(each, 0.0) for each, seconds in after.items())


def memory_mb(members: Iterable[Process]) -> float:
    """Return the MB that the processes take together (PSS): pages they share count once."""
    total = 0
    for each in members:
        with suppress(OSError):  # the process ended meanwhile
            lines = Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(x.split()[1]) for x in lines if x.startswith("Pss:"))
    return total * 1024 / 1e6


def draws(process: Process) -> bool:
    """Return whether a process has loaded a runtime, which a process that draws has."""
    with suppress(OSError):  # the process ended meanwhile
        return any(x in Path(f"/proc/{process.pid}/maps").read_text() for x in RUNTIMES)
    return False


def kill(members: Iterable[Process]) -> None:
    """Kill those of the processes that still run, at once."""
    stats = dict(_stats())
    for each in members:
        if each.pid in stats and int(stats[each.pid][19]) == each.began:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)


def _stats() -> Iterable[tuple[int, list[str]]]:
    """Yield the id of each process that runs, and its fields from the state on.

    Source: proc_pid_stat(5). The second field, the program's name, may hold spaces and parentheses.
    """
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                yield int(stat.parent.name), fields

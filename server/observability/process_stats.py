"""What each process of the server takes of the machine: its turn at it, and what Linux tells."""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.ipc.atomic_file import write_whole

log = logging.getLogger(__name__)

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def enter(folder: Path, name: str) -> bool:
    """Note in ``folder`` that this process is the one called ``name`` from now on.

    Returns whether there was one of that name before. Where the file system takes no note, because
    it is full, the log says so, and the process is not measured but serves.
    """
    again = (folder / name).exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, str(os.getpid()))
    except OSError as error:
        log.error("%s is not measured: %s", name, error)
    return again


def schedule_as_batch() -> None:
    """Let this thread, and those it starts, wake without interrupting others on the processor.

    The engine then finds more requests waiting, and an HTTP worker more of them and of the answers:
    batches are larger, inference is interrupted less. With the model, the HTTP workers and their
    callers on two cores, the engine's patience brought 6 % more single images, that of the HTTP
    workers 4 % more. Where a processor is idle nobody waits.
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def facts(path: Path) -> list[str]:
    """Return what Linux tells of a process or a thread, a folder of ``/proc``, from its state on.

    Source: proc(5), ``/proc/[pid]/stat``.

    Raises:
        OSError: it ended.
    """
    return (path / "stat").read_text().rpartition(")")[2].split()  # its name may hold anything


def run_ticks(facts: list[str]) -> int:
    """Return how long one has run, the kernel for it too, in ``TICKS`` of a second."""
    return int(facts[11]) + int(facts[12])


class Processes(Collector):
    """Processor time, memory and open files of every process that entered ``folder``.

    One that ended is left out, and counts from 0 again when another has taken its name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        seconds = CounterMetricFamily(
            "carfront_process_cpu_seconds",
            "Processor time, of the kernel for it too.",
            labels=["process"],
        )
        memory = GaugeMetricFamily(
            "carfront_process_resident_memory_bytes",
            "Memory in use, what is shared with other processes included.",
            labels=["process"],
        )
        files = GaugeMetricFamily(
            "carfront_process_open_fds", "Open files and sockets.", labels=["process"]
        )
        for note in sorted(self._folder.glob("[!.]*")):
            try:
                process = PROC / note.read_text()
                ticks = run_ticks(facts(process))
                pages = int((process / "statm").read_text().split()[1])
                opened = sum(1 for _ in os.scandir(process / "fd"))
            except OSError:
                continue  # it ended
            seconds.add_metric([note.name], ticks / TICKS)
            memory.add_metric([note.name], pages * PAGE)
            files.add_metric([note.name], opened)
        return [seconds, memory, files]

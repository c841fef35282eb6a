"""Which process of the server has which name, and what each takes of the machine."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.ipc.atomic_file import write_whole

log = logging.getLogger(__name__)

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def register_process(folder: Path, name: str) -> bool:
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


class ProcessStats(Collector):
    """Processor time, memory and open files of every process that is registered in ``folder``.

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
                ticks = _cpu_ticks(process)
                pages = int((process / "statm").read_text().split()[1])
                opened = sum(1 for _ in os.scandir(process / "fd"))
            except OSError:
                continue  # it ended
            seconds.add_metric([note.name], ticks / TICKS)
            memory.add_metric([note.name], pages * PAGE)
            files.add_metric([note.name], opened)
        return [seconds, memory, files]


def _cpu_ticks(process: Path) -> int:
    """Return how long a process, a folder of ``/proc``, has run, the kernel for it too.

    Source: proc(5), ``/proc/[pid]/stat``, ``utime`` and ``stime``.

    Raises:
        OSError: the process ended.
    """
    stat = (process / "stat").read_text().rpartition(")")[2].split()  # its name may hold anything
    return int(stat[11]) + int(stat[12])

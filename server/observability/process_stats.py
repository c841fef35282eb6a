"""The names of the server's processes, and what processor time and memory each of them uses."""

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
    """Note in ``folder`` that this process has the name ``name`` from now on.

    The result says whether a process had that name before. If the file system is full and takes no
    note, the log says so, and the process serves without being measured.
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

    A process that ended is left out; its counter starts at 0 again with the next of its name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        seconds = CounterMetricFamily(
            "carfront_process_cpu_seconds",
            "Processor time of the process, the kernel's work for it included.",
            labels=["process"],
        )
        memory = GaugeMetricFamily(
            "carfront_process_resident_memory_bytes",
            "Resident memory of the process, memory shared with others included.",
            labels=["process"],
        )
        files = GaugeMetricFamily(
            "carfront_process_open_fds",
            "Open files and sockets of the process.",
            labels=["process"],
        )
        for note in sorted(self._folder.glob("[!.]*")):
            try:
                process = PROC / note.read_text()
                ticks = _cpu_ticks(process)
                pages = int((process / "statm").read_text().split()[1])
                opened = sum(1 for _ in os.scandir(process / "fd"))
            except OSError:
                continue  # the process ended
            seconds.add_metric([note.name], ticks / TICKS)
            memory.add_metric([note.name], pages * PAGE)
            files.add_metric([note.name], opened)
        return [seconds, memory, files]


def _cpu_ticks(process: Path) -> int:
    """Return the ticks that ``process``, a directory of ``/proc``, has run, in the kernel too.

    Source: proc(5), ``/proc/[pid]/stat``, ``utime`` and ``stime``.

    Raises:
        OSError: the process ended.
    """
    stat = (process / "stat").read_text().rpartition(")")[2].split()  # its name may contain ")"
    return int(stat[11]) + int(stat[12])

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
USER_TICKS, KERNEL_TICKS, STARTED = 11, 12, 19
"""The places, after the name, of three fields of ``/proc/PID/stat``: the ticks that the process
has run and the kernel for it, and the tick after the boot at which it started. Source:
proc_pid_stat(5), utime, stime and starttime."""


def register_process(folder: Path, name: str) -> bool:
    """Note in ``folder`` that this process has the name ``name`` from now on.

    The result says whether a process had that name before. If the file system is full and takes no
    note, the log says so, and the process serves without being measured.
    """
    again = False
    try:
        again = (folder / name).exists()
        write_whole(folder / name, f"{os.getpid()} {_stat(PROC / 'self')[STARTED]}")
    except OSError as error:
        log.error("%s is not measured: %s", name, error)
    return again


def process_of(note: Path) -> Path:
    """Return the directory of ``/proc`` of the process that ``note`` was written by.

    Raises:
        OSError: the process ended. Its number may be another's, which started at another time.
    """
    pid, _, started = note.read_text().partition(" ")
    process = PROC / pid
    if _stat(process)[STARTED] != started:
        raise ProcessLookupError(f"{pid} is not the process that {note} is of")
    return process


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
                process = process_of(note)
                stat = _stat(process)
                ticks = int(stat[USER_TICKS]) + int(stat[KERNEL_TICKS])
                pages = int((process / "statm").read_text().split()[1])
                opened = sum(1 for _ in os.scandir(process / "fd"))
            except OSError:
                continue  # the process ended
            seconds.add_metric([note.name], ticks / TICKS)
            memory.add_metric([note.name], pages * PAGE)
            files.add_metric([note.name], opened)
        return [seconds, memory, files]


def _stat(process: Path) -> list[str]:
    """Return the fields after the name in the ``stat`` of ``process``, a directory of ``/proc``.

    Raises:
        OSError: the process ended.
    """
    return (process / "stat").read_text().rpartition(")")[2].split()  # its name may contain ")"

"""Whether a thread or a process is at work: it has run, or waits for a processor.

Who sleeps in a read that never returns does neither.
"""

from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


class Progress:
    """The processor time of some threads, from one look to the next."""

    def __init__(self) -> None:
        self._ran_ns = -1

    def made(self, tasks: Iterable[Path]) -> bool:
        """Return whether any of ``tasks``, directories in ``/proc``, has run since the last look.

        A thread that waits for a processor counts as one that runs. The first look finds progress.
        """
        looks = [look for task in tasks if (look := _look(task)) is not None]
        ran_ns = sum(ran for _, ran in looks)
        before, self._ran_ns = self._ran_ns, ran_ns
        return ran_ns != before or any(runs for runs, _ in looks)


def threads_of(pid: int) -> list[Path]:
    """Return the directories in ``/proc`` of the threads of process ``pid``; none once it ended."""
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def thread(number: int) -> Path:
    """Return the directory in ``/proc`` of this process's thread with the native id ``number``."""
    return PROC / "self" / "task" / str(number)


def _look(task: Path) -> tuple[bool, int] | None:
    """Return whether ``task`` runs or waits to, and how long it has; None once it ended.

    Source: proc(5) for ``stat``; the kernel's ``sched-stats`` for ``schedstat``, with nanoseconds
    on the processor and in the queue for one. Where there is none, the ticks in ``stat`` do.
    """
    try:
        stat = (task / "stat").read_text().rpartition(")")[2].split()  # its name may contain ")"
    except OSError:
        return None
    try:
        ran, waited, _ = (task / "schedstat").read_text().split()
    except (OSError, ValueError):
        ran, waited = stat[11], stat[12]
    return stat[0] == "R", int(ran) + int(waited)

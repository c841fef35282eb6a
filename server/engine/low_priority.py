"""Loads beside what is served: at a low priority, but for the threads that serve later."""

import os
import resource
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CAP_SYS_NICE = 1 << 23
"""The capability to raise one's own priority. Source: capabilities(7)."""
LOW = 10
"""The priority (nice) of a load. The lowest, 19, was no gentler to the requests that are served,
and a load took 5.0 s with it instead of 3.6 while all processors were busy."""


def at_low_priority(work: Callable[[], T], threads_a_stream: int) -> T:
    """Return the result of ``work``, which runs in a thread of low priority.

    A session of one thread runs in its caller's thread later. A session of several threads has its
    own, which ``work`` starts: they get the usual priority afterwards. Where the process may not
    raise a priority, such work is done at the usual one.
    """

    def low() -> T:
        before = _threads()
        usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        if threads_a_stream == 1 or _may_raise(usual):
            with suppress(OSError):  # a sandbox may forbid it
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW)
        try:
            return work()
        finally:
            if threads_a_stream > 1:
                for thread in _threads() - before:
                    with suppress(OSError):  # the thread ended meanwhile
                        os.setpriority(os.PRIO_PROCESS, thread, usual)

    with ThreadPoolExecutor(1, "loader") as pool:
        return pool.submit(low).result()


def _may_raise(usual: int) -> bool:
    """Return whether this process may give a thread the priority ``usual`` back."""
    if resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 - usual:
        return True
    status = Path("/proc/self/status").read_text()
    effective = next((x.split()[1] for x in status.splitlines() if x.startswith("CapEff")), "0")
    return bool(int(effective, 16) & CAP_SYS_NICE)


def _threads() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}

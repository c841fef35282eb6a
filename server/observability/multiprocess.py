"""The metrics of all the server's processes, whose files prometheus_client adds up.

Each process writes to files of its own slot in one directory. A process that replaces a dead one
takes its slot too, so counters go on and the number of files stays the same.
"""

import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MultiProcessValue


def value_class(folder: Path, name: str) -> Any:
    """Return the class of prometheus_client's values that are kept in the slot of ``name``."""
    slot = _take_slot(folder, name)
    locked: Any = MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]

    class Value(locked):  # type: ignore[misc]
        """A value to which only one thread at a time adds.

        prometheus_client's own class takes a lock each time, in an HTTP worker one of gevent's, and
        checks whether the process has forked: a tenth of a worker's Python time for a single image.
        """

        def inc(self, amount: float) -> None:
            self._value += amount
            self._file.write_value(self._key, self._value, 0.0)

    return Value


def _take_slot(folder: Path, name: str) -> str:
    """Return the first of ``name``, ``name.1``, ... that no other process holds, and hold it.

    An engine whose arbiter was killed serves on until the next one is ready: if both wrote the same
    file, each would overwrite the other's counts. The gauges of earlier processes of ``name`` are
    removed.
    """
    for pattern in (f"gauge_*_{name}.db", f"gauge_*_{name}.*.db"):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)
    for number in itertools.count():
        slot = f"{name}.{number}" if number else name
        lock = os.open(folder / f"{slot}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return slot  # the lock ends with this process
    raise AssertionError


class AllProcesses(Collector):
    """The metrics of the processes in ``folder``, added up by prometheus_client's own collector.

    The collector tolerates that the file of a gauge is removed while it reads, if the gauge's mode
    is a live one. It does not tolerate an empty file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        return MultiProcessCollector.merge(self._written())  # type: ignore[no-any-return, no-untyped-call]

    def _written(self) -> Iterator[str]:
        """Yield the files that are not empty, in a fixed order."""
        for file in sorted(self._folder.glob("*.db")):
            with suppress(FileNotFoundError):
                if file.stat().st_size:
                    yield str(file)

"""The metrics of all the server's processes, whose files prometheus_client adds up.

Each process writes to files of its own slot in one directory. A process that replaces a dead one
takes its slot too, so counters go on and the number of files stays the same.

Where the file system takes no file, a process serves on, and its values are not told.
"""

import fcntl
import itertools
import logging
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from server.ipc.atomic_file import make_folder

log = logging.getLogger(__name__)

FILE_BYTES = 1 << 16
"""The first size of a file in bytes, which prometheus_client doubles whenever the file is full."""
VALUE_BYTES = 8
packed = struct.Struct("d").pack
"""Returns a value as it lies in a file."""
MOST_BEYOND_KEY = 4 + 8 + 16
"""The largest number of bytes that a series takes besides its key: length, padding, two doubles."""


def value_class(folder: Path, name: str) -> type:
    """Return the class of prometheus_client's values that are kept in the slot of ``name``.

    Source: ``prometheus_client.values.MultiProcessValue``, which takes a lock for each addition, in
    an HTTP worker one of gevent's, and checks whether the process has forked: a tenth of a worker's
    Python time for a single image.
    """
    files = _Files(folder, name)

    class Value:
        """A value to which only one thread at a time adds."""

        _multiprocess = True

        def __init__(
            self,
            typ: str,
            metric_name: str,
            name: str,
            labelnames: Sequence[str],
            labelvalues: Sequence[str],
            help_text: str,
            multiprocess_mode: str = "",
            **_: object,
        ) -> None:
            kind = f"{typ}_{multiprocess_mode}" if typ == "gauge" else typ
            self._key = mmap_key(metric_name, name, list(labelnames), list(labelvalues), help_text)
            self._file, self._value = files.begin(kind, self._key)
            self._place = self._file.place_of(self._key)

        def inc(self, amount: float) -> None:
            value = self._value = self._value + amount
            # The mapped file, another one whenever it has grown, takes a slice at one go.
            self._file._m[self._place] = packed(value)

        def set(self, value: float, timestamp: float | None = None) -> None:
            self._value = value
            self._file.write_value(self._key, value, timestamp or 0.0)

        def get(self) -> float:
            return self._value

        def set_exemplar(self, exemplar: object) -> None:
            """Do nothing: exemplars are not told over several processes."""

        def get_exemplar(self) -> None:
            return None

    return Value


class _ReservedFile(MmapedDict):
    """A file of values whose space is reserved before it is mapped.

    The first write to a page of a mapped file for which the file system has no room ends the
    process (SIGBUS).

    Raises:
        OSError: the file system has no room; what was reserved before stays usable.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._reserve(FILE_BYTES)
        except OSError:
            os.close(self._fd)
            raise
        super().__init__(str(path))  # type: ignore[no-untyped-call]

    def place_of(self, key: str) -> slice:
        """Return where the value of ``key`` is, which was read before."""
        at = self._positions[key]
        return slice(at, at + VALUE_BYTES)

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + MOST_BEYOND_KEY > self._capacity:
            self._reserve(2 * self._capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _reserve(self, size: int) -> None:
        before = os.fstat(self._fd).st_size
        try:
            os.posix_fallocate(self._fd, 0, max(size, before))
        except OSError:
            os.ftruncate(self._fd, before)
            raise


class _NoFile:
    """Stands for the file of a value that only this process knows."""

    _m = bytearray(VALUE_BYTES)

    def place_of(self, _: str) -> slice:
        """Return where nobody reads what is written."""
        return slice(0, VALUE_BYTES)

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Do nothing."""


class _Files:
    """The files of the slot of ``name`` in ``folder``, which may be taken away at any time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._slot: str | None = None
        self._files: dict[str, _ReservedFile] = {}
        self._lock = Lock()
        self._told = False

    def begin(self, kind: str, key: str) -> tuple[Any, float]:
        """Return the file of a series, and the value that an earlier process of the slot left."""
        with self._lock:
            try:
                if self._slot is None:
                    self._slot = _take_slot(self._folder, self._name)
                if kind not in self._files:
                    self._files[kind] = _ReservedFile(self._folder / f"{kind}_{self._slot}.db")
                file = self._files[kind]
                value, _ = file.read_value(key)  # type: ignore[no-untyped-call]
            except OSError as error:
                if not self._told:
                    log.error("not all that %s counts is in the metrics: %s", self._name, error)
                self._told = True
                return _NoFile(), 0.0
            return file, value


def _take_slot(folder: Path, name: str) -> str:
    """Return the first of ``name``, ``name.1``, ... that no other process holds, and hold it.

    An engine whose arbiter was killed serves on until the next one is ready: if both wrote the same
    file, each would overwrite the other's counts. The gauges of earlier processes of ``name`` are
    removed.

    Raises:
        OSError: the file system takes no file.
    """
    make_folder(folder)
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

    def __init__(self, folder: Path, files: str = "*.db") -> None:
        """``files`` is the pattern of the names of the files that are read."""
        self._folder = folder
        self._files = files

    def collect(self) -> Iterable[Metric]:
        try:
            return self._merged()
        except FileNotFoundError:  # somebody removed files, or the folder, meanwhile
            return self._merged()

    def _merged(self) -> Iterable[Metric]:
        return MultiProcessCollector.merge(self._written())  # type: ignore[no-any-return, no-untyped-call]

    def _written(self) -> Iterator[str]:
        """Yield the files that are not empty, in a fixed order."""
        for file in sorted(self._folder.glob(self._files)):
            with suppress(FileNotFoundError):
                if file.stat().st_size:
                    yield str(file)

"""Images from a bundle on several GPUs: a process sees one of them, so each has its own."""

import ctypes
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from carfront.datasets.bundle_source import BundleSource, count_gpus, import_server, take_gpu
from carfront.datasets.index import Lineage
from carfront.datasets.source import Source
from carfront.errors import DataSetError

T = TypeVar("T")

AHEAD = 2
"""The blocks that a process has at a time: the next one is there when one is drawn."""
PR_SET_PDEATHSIG = 1
"""The request for a signal at the parent's end. Source: prctl(2)."""

_source: BundleSource | None = None
"""The source of this process, if it is a GPU's."""


def source_of(path: Path, *options: Any) -> Source:
    """Return what draws with the bundle at ``path`` on all processors, or on all visible GPUs.

    ``options`` are those of ``BundleSource``, the provider first.

    Raises:
        CarfrontError: it cannot be drawn with.
    """
    import_server(path)
    count = count_gpus(options[0])
    return GpusSource(count, path, *options) if count > 1 else BundleSource(path, *options)


class GpusSource:
    """Draws as ``BundleSource`` does, in ``count`` processes, each with a GPU of its own.

    Raises:
        CarfrontError: a process cannot draw with the bundle.
    """

    def __init__(self, count: int, path: Path, *options: Any) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not outlive a fork
        self._processes = [ProcessPoolExecutor(1, context) for _ in range(count)]
        self._idle: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
        for process in self._processes * AHEAD:
            self._idle.put(process)
        self.parallel = AHEAD * count
        try:
            opened = [
                process.submit(_open, os.getpid(), number, path, options)
                for number, process in enumerate(self._processes)
            ]
            facts = [_said(future.result) for future in opened]
        except BaseException:
            self.close()
            raise
        self.lineage, self.shape, self.block = facts[0]
        if different := {str(x.plan) for x, *_ in facts} - {self.lineage.plan}:
            self.close()
            raise DataSetError(
                f"the GPUs draw by {self.lineage.plan} and {', '.join(different)}; "
                "wanted one plan, as --precision or CARFRONT_PROVIDER may set it"
            )

    def draw(self, seeds: range) -> NDArray[np.uint8]:
        """Return the images of ``seeds`` as uint8 [n, height, width, channels]."""
        process = self._idle.get()
        try:
            return _said(process.submit(_draw, seeds).result)
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """End the processes when they have drawn what they have, which is soon."""
        for process in self._processes:
            process.shutdown(wait=True, cancel_futures=True)


def _said(call: Callable[[], T]) -> T:
    """Return the result of ``call``.

    Raises:
        DataSetError: the process that had to give it is gone.
    """
    try:
        return call()
    except BrokenProcessPool as error:
        raise DataSetError("the process of a GPU died; the same command goes on") from error


def _open(
    parent: int, number: int, path: Path, options: tuple[Any, ...]
) -> tuple[Lineage, tuple[int, int, int], int]:
    """Open the bundle in this process, on the GPU of that number, and return what it is.

    Ctrl-C is the parent's to handle, and this process ends with it, however that ends.
    """
    global _source
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)
    import_server(path)
    take_gpu(number)
    _source = BundleSource(path, *options)
    return _source.lineage, _source.shape, _source.block


def _draw(seeds: range) -> NDArray[np.uint8]:
    assert _source is not None  # it was opened first
    return _source.draw(seeds)

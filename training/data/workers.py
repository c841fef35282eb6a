"""Many photographs at once, on all processors, in their order.

Processes, not threads: Pillow decodes a JPEG under Python's lock. They are spawned, not forked:
a fork of a process in which TensorFlow has threads may hang.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection

from training.data.layout import DataError, Photo
from training.data.prepare import Prepared, prepare

CHUNK = 16
"""Photographs that a process is given at a time."""
FEW = 64
"""Up to so many, starting processes takes longer than the work."""


def prepare_all(
    photos: list[Photo], size: int, crop_margin: float, processes: int | None = None
) -> Iterator[Prepared]:
    """Yield what becomes of each photograph, in order; ``processes`` None means one a processor.

    Where the caller stops early, by Ctrl-C or a closed iterator, the processes end too.

    Raises:
        DataError: a process was killed.
    """
    if processes is None:
        processes = 1 if len(photos) <= FEW else processors()
    chunks = [photos[i : i + CHUNK] for i in range(0, len(photos), CHUNK)]
    if processes == 1:
        for chunk in chunks:
            yield from prepare_chunk(chunk, size, crop_margin)
        return
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(processes, context, end_with, (theirs,))
    try:
        with sigint_held():  # the processes inherit it: Ctrl-C is this process's to answer
            jobs = [pool.submit(prepare_chunk, chunk, size, crop_margin) for chunk in chunks]
        for job in jobs:
            yield from job.result()
        pool.shutdown()
    except BrokenProcessPool as error:
        raise DataError(
            "a process that decodes photographs was killed, perhaps for lack of memory; the same "
            "command tries again"
        ) from error
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()


def prepare_chunk(photos: list[Photo], size: int, crop_margin: float) -> list[Prepared]:
    """Return what becomes of each of ``photos``."""
    return [prepare(photo, size, crop_margin) for photo in photos]


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def sigint_held() -> Iterator[None]:
    """Keep Ctrl-C waiting, for this thread and what it starts, until the block ends."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(lifeline: Connection) -> None:
    """End this process at once when the other end is closed, or its owner gone, however it went."""

    def wait() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

"""The preparation of many photographs at once, on all processors, in their order.

The workers are processes, not threads, since Pillow decodes a JPEG under Python's lock. The
processes are spawned, not forked, since a fork of a process in which TensorFlow has threads may
hang. Each worker has a connection of its own, not a queue that all share: the connection of a
worker that is killed amid a message closes, and its reader learns of that.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple, cast

from training.data.layout import DataError, Photo
from training.data.prepare import Prepared, prepare

CHUNK = 16
"""The number of photographs in a chunk, which a process is given at a time."""
AHEAD = 2
"""The number of chunks that a process has at once, so that it need not wait for the next."""
FEW = 64
"""The number of photographs up to which starting processes takes longer than the work."""


class Worker(NamedTuple):
    """A process that prepares photographs, and the connection to it."""

    process: BaseProcess
    link: Connection


def prepare_all(
    photos: list[Photo], size: int, crop_margin: float, processes: int | None = None
) -> Generator[Prepared, None, None]:
    """Yield each photograph prepared, in order.

    ``processes`` None takes one a processor, or one for a few photographs. If the caller stops
    early, by Ctrl-C or a closed iterator, the processes end at once.

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
    workers: list[Worker] = []
    try:
        with sigint_held():  # the processes inherit the mask: Ctrl-C is handled by this one alone
            workers.extend(start(size, crop_margin) for _ in range(processes))
        yield from in_order(chunks, [worker.link for worker in workers])
    finally:
        for worker in workers:
            worker.process.kill()  # a worker has nothing to clean up
            worker.process.join()
            worker.link.close()


def prepare_chunk(photos: list[Photo], size: int, crop_margin: float) -> list[Prepared]:
    """Return each of ``photos`` prepared."""
    return [prepare(photo, size, crop_margin) for photo in photos]


def in_order(chunks: list[list[Photo]], links: list[Connection]) -> Iterator[Prepared]:
    """Send the ``chunks`` to idle workers by their ``links``; yield the results in order."""
    waiting = deque(enumerate(chunks))
    done: dict[int, list[Prepared]] = {}
    try:
        for link in links * AHEAD:
            if waiting:
                link.send(waiting.popleft())
        for index in range(len(chunks)):
            while index not in done:
                for link in cast(list[Connection], wait(links)):
                    number, results = link.recv()
                    done[number] = results
                    if waiting:
                        link.send(waiting.popleft())
            yield from done.pop(index)
    except (EOFError, OSError) as error:  # a worker's end was closed, between messages or amid one
        raise DataError(
            "a process that decodes photographs was killed, perhaps for lack of memory; the same "
            "command tries again"
        ) from error


def start(size: int, crop_margin: float) -> Worker:
    """Start a process that prepares the photographs it is sent."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, size, crop_margin), daemon=True)
    process.start()
    theirs.close()  # the worker then has the only handle, which closes when the worker is gone
    return Worker(process, ours)


def work(link: Connection, size: int, crop_margin: float) -> None:
    """Prepare each chunk of photographs that comes on the ``link``, and send it back."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):  # the parent is gone, so nobody waits for an answer
        while True:
            number, photos = link.recv()
            link.send((number, prepare_chunk(photos, size, crop_margin)))


def end_with_parent() -> None:
    """End this process when its parent is gone, for whatever reason."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def sigint_held() -> Iterator[None]:
    """Block SIGINT, for this thread and the processes it starts, until the block ends."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting the tracker inside the block would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

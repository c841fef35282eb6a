"""Reads of the model repository, whose volume may hang: then they fail, and the reader goes on.

A read that never returns cannot be interrupted. So every read runs in a thread of its own, which is
left behind when it neither returns nor makes progress. There is one such thread at most: until it
has returned, whoever wants to read is told so at once.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from server.bundle.errors import BundleUnreadable
from server.progress import Progress, thread

T = TypeVar("T")

SILENT_S = 30.0
"""The seconds after which a read that has made no progress is left behind."""
MOST_S = 600.0
"""The seconds that a read may take although it makes progress."""
LOOK_S = 0.2
"""The seconds between two looks at a read."""

_lock = threading.Lock()
_left: threading.Thread | None = None
"""The thread that was left behind last; it may have returned since."""


def read(place: Path, work: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> T:
    """Return the result of ``work``, which reads ``place``.

    Raises:
        BundleUnreadable: ``work`` has not returned in time, or an earlier one still has not.
        Exception: what ``work`` raises.
    """
    with _lock:
        if _left is not None and _left.is_alive():
            raise BundleUnreadable(f"{place} cannot be read: an earlier read still has no answer")
        outcome: Future[T] = Future()
        reader = threading.Thread(target=_run, args=(work, outcome), name="reader", daemon=True)
        reader.start()
        _await(reader, place, clock)
        return outcome.result()


def _run(work: Callable[[], T], outcome: Future[T]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:
        outcome.set_exception(error)


def _await(reader: threading.Thread, place: Path, clock: Callable[[], float]) -> None:
    """Return once ``reader`` has ended.

    Raises:
        BundleUnreadable: the thread is left behind.
    """
    global _left
    progress, began = Progress(), clock()
    moved = began
    while True:
        reader.join(LOOK_S)
        if not reader.is_alive():
            return
        now = clock()
        if reader.native_id and progress.made([thread(reader.native_id)]):
            moved = now
        if now - moved > SILENT_S or now - began > MOST_S:
            _left = reader
            raise BundleUnreadable(
                f"{place} cannot be read: there is no answer after {now - began:.0f} s"
            )

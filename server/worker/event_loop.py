"""What the client of the engines needs of the process it runs in: ``EventLoop``.

The HTTP worker has gevent's event loop, see ``server.worker.gevent_io``; a process with threads
brings its own. The client's code runs one piece at a time, callers' and callbacks alike, as
greenlets do. A process with threads holds one lock around each call of the client and around each
callback; a caller that waits gives the lock up meanwhile.
"""

import select
import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")
Stop = Callable[[], None]
"""Ends what a method of the event loop has begun; once that has ended, it does nothing."""


class Waiter(Protocol):
    """Where one caller waits for one value."""

    def wait(self) -> Any:
        """Return what ``wake`` is called with, or has been."""

    def wake(self, value: object) -> None:
        """Have ``wait`` return ``value``; to be called in a callback of the event loop only.

        When the caller has its value already, nothing happens.
        """


class Task(Protocol):
    """A function that runs beside its caller."""

    def result(self) -> Any:
        """Return what the function returned or raise what it raised, once it has ended."""

    def cancel(self) -> None:
        """Have the function end where it waits, if it has not ended."""


class EventLoop(Protocol):
    """Runs callbacks one after the other; none may wait."""

    def waiter(self) -> Waiter:
        """Return a place for one caller to wait."""

    def call_soon(self, callback: Callable[..., object], *args: object) -> object:
        """Call ``callback`` once what runs now has ended, or waits."""

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: object) -> Stop:
        """Call ``callback`` in ``delay_s`` seconds, unless it is stopped before."""

    def call_periodically(self, period_s: float, callback: Callable[[], object]) -> Stop:
        """Call ``callback`` soon, and again ``period_s`` seconds after each time that it ended."""

    def watch_readable(self, descriptor: int, callback: Callable[[], object]) -> Stop:
        """Call ``callback`` whenever ``descriptor`` has something to read."""

    def in_thread(self, function: Callable[..., Result], *args: object) -> Result:
        """Return what ``function`` does; other callers are served while it computes."""

    def socket(self, family: int, kind: int) -> socket.socket:
        """Return a socket of the operating system's, which knows of no event loop."""

    def poll(self) -> "select.poll":
        """Return a poll object of the operating system's, which knows of no event loop."""

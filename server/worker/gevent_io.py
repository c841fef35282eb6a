"""gevent's event loop for the client of the engines, in an HTTP worker."""

import logging
import select
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from gevent.hub import Waiter
from gevent.monkey import get_original

from server.worker.event_loop import Stop

log = logging.getLogger(__name__)

READ = 1
"""libev's name for "there is something to read"."""

Result = TypeVar("Result")


class GeventWaiter(Waiter):  # type: ignore[misc]
    """Where one greenlet waits for one value; ``wake`` switches to it at once."""

    __slots__ = ()
    wait = Waiter.get
    wake = Waiter.switch


class GeventLoop:
    """The event loop of the thread that makes it; an ``EventLoop``."""

    waiter: Callable[[], GeventWaiter] = GeventWaiter

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._hub.print_exception = _log_exception
        self.call_soon: Callable[..., object] = self._hub.loop.run_callback

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: object) -> Stop:
        timer = self._hub.loop.timer(delay_s)
        timer.start(callback, *args)
        return lambda: _end(timer)

    def call_periodically(self, period_s: float, callback: Callable[[], object]) -> Stop:
        stopped = False

        def run() -> None:
            while not stopped:
                callback()
                gevent.sleep(period_s)

        def stop() -> None:
            nonlocal stopped
            stopped = True  # gevent kills later, and the task may be about to wake
            gevent.kill(task)

        task = gevent.spawn(run)
        return stop

    def watch_readable(self, descriptor: int, callback: Callable[[], object]) -> Stop:
        watcher = self._hub.loop.io(descriptor, READ)
        watcher.start(callback)
        return lambda: _end(watcher)

    def in_thread(self, function: Callable[..., Result], *args: object) -> Result:
        result, error = self._hub.threadpool.apply(_outcome, (function, args))
        if error:
            raise error
        return result  # type: ignore[no-any-return]

    def socket(self, family: int, kind: int) -> socket.socket:
        return get_original("socket", "socket")(family, kind)  # type: ignore[no-any-return]

    def poll(self) -> "select.poll":
        return get_original("select", "poll")()  # type: ignore[no-any-return]


class GeventTask:
    """What ``function`` does with ``args``, in a greenlet of its own; a ``Task``."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._greenlet = gevent.spawn(_outcome, function, args)

    def result(self) -> Any:
        """Return what the function returned or raise what it raised, once it has ended."""
        result, error = self._greenlet.get()
        if error:
            raise error
        return result

    def cancel(self) -> None:
        """Have the function end where it waits, if it has not ended."""
        self._greenlet.kill()


def _outcome(
    function: Callable[..., Result], args: tuple[object, ...]
) -> tuple[Result | None, Exception | None]:
    """Return what ``function`` returns or raises: gevent would print what it raises."""
    try:
        return function(*args), None
    except Exception as error:
        return None, error


def _log_exception(_: object, kind: Any, error: BaseException | None, trace: Any) -> None:
    """Log what a greenlet or a callback raised: gevent would print it, its arguments too."""
    log.error("unhandled error", exc_info=(kind, error or kind(), trace))


def _end(watcher: Any) -> None:
    watcher.stop()
    watcher.close()

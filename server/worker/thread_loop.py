"""An event loop for the client of the engines in a process with threads.

The client's code runs one piece at a time, under one lock: that of callers' threads, and that of
callbacks. A caller that waits gives the lock up meanwhile.
"""

import heapq
import itertools
import logging
import select
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from server.worker.event_loop import Stop

log = logging.getLogger(__name__)

FAR_S = 3600.0
"""The seconds that the loop sleeps at most, where it has no timer."""

Result = TypeVar("Result")


class TurnLock:
    """The lock that is held for each call of a client, and for each callback.

    Whoever is about to give it up runs the callbacks first that are to be called soon: no other
    thread has to wake for them.
    """

    def __init__(self, before_release: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._before_release = before_release

    def acquire(self) -> None:
        """Wait until nobody else has the lock, and take it."""
        self._lock.acquire()

    def release(self) -> None:
        """Run what is to be called soon, and give the lock up."""
        try:
            self._before_release()
        finally:
            self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class ThreadWaiter:
    """Where one thread waits for one value, without the lock."""

    __slots__ = ("_gate", "_lock", "_value")

    def __init__(self, lock: TurnLock) -> None:
        self._lock = lock
        self._gate = threading.Lock()
        self._gate.acquire()
        self._value: tuple[object] | None = None

    def wait(self) -> Any:
        """Return what ``wake`` is called with; the lock is free meanwhile."""
        self._lock.release()
        try:
            self._gate.acquire()
        finally:
            self._lock.acquire()
        assert self._value is not None  # the gate opens with a value
        return self._value[0]

    def wake(self, value: object) -> None:
        """Have ``wait`` return ``value``, unless there is a value already."""
        if self._value is None:
            self._value = (value,)
            self._gate.release()


class ThreadLoop:
    """An ``EventLoop`` with a thread of its own, until ``close``.

    All methods are called with ``lock`` held, but for ``close``.
    """

    def __init__(self) -> None:
        self.lock = TurnLock(self._run_soon)
        self._soon: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()
        self._sleeps_until = 0.0
        self._closed = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._alarm, ours = socket.socketpair()
        ours.setblocking(False)
        self._alarm.setblocking(False)
        self._ours = ours
        self._selector.register(ours, selectors.EVENT_READ, self._quiet)
        self._thread = threading.Thread(target=self._run, name="event loop", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the loop, and all that is called periodically; nothing is called any more."""
        self._closed.set()
        self._wake()
        self._thread.join()
        self._selector.close()
        self._alarm.close()
        self._ours.close()

    def waiter(self) -> ThreadWaiter:
        return ThreadWaiter(self.lock)

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self._soon.append((callback, args))

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: object) -> Stop:
        timer = _Timer(time.monotonic() + delay_s, next(self._numbers), callback, args)
        heapq.heappush(self._timers, timer)
        if timer.at < self._sleeps_until:
            self._wake()
        return timer.stop

    def call_periodically(self, period_s: float, callback: Callable[[], object]) -> Stop:
        """Call ``callback`` in a thread of its own: it may wait, as ``in_thread`` does."""
        stopped = threading.Event()

        def run() -> None:
            while not (stopped.is_set() or self._closed.is_set()):
                with self.lock:
                    if not stopped.is_set():
                        _call(callback)
                stopped.wait(period_s)

        threading.Thread(target=run, name="periodic", daemon=True).start()
        return stopped.set

    def watch_readable(self, descriptor: int, callback: Callable[[], object]) -> Stop:
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

        def stop() -> None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(descriptor)

        return stop

    def in_thread(self, function: Callable[..., Result], *args: object) -> Result:
        """Return what ``function`` does, in this thread, which gives the lock up meanwhile."""
        self.lock.release()
        try:
            return function(*args)
        finally:
            self.lock.acquire()

    def socket(self, family: int, kind: int) -> socket.socket:
        return socket.socket(family, kind)

    def poll(self) -> "select.poll":
        return select.poll()

    # the loop's thread

    def _run(self) -> None:
        sleep_s = 0.0
        while not self._closed.is_set():
            ready = self._selector.select(sleep_s)
            with self.lock:
                watched = self._selector.get_map()
                for key, _ in ready:
                    if watched.get(key.fd) is key:  # no callback before has ended the watch
                        _call(key.data)
                self._run_timers()
                self._run_soon()
                now = time.monotonic()
                self._sleeps_until = self._timers[0].at if self._timers else now + FAR_S
                sleep_s = max(0.0, self._sleeps_until - now)

    def _run_timers(self) -> None:
        while self._timers and self._timers[0].at <= time.monotonic():
            timer = heapq.heappop(self._timers)
            if not timer.stopped:
                _call(timer.callback, *timer.args)

    def _run_soon(self) -> None:
        while self._soon:
            callback, args = self._soon.popleft()
            _call(callback, *args)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it is about to wake already
            self._alarm.send(b"!")

    def _quiet(self) -> None:
        self._ours.recv(4096)


class _Timer:
    """A call that is to be made at a time, of two at one time the one that was made first."""

    __slots__ = ("args", "at", "callback", "number", "stopped")

    def __init__(
        self, at: float, number: int, callback: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        self.at, self.number, self.callback, self.args = at, number, callback, args
        self.stopped = False

    def stop(self) -> None:
        """Have the call not be made."""
        self.stopped = True
        self.callback, self.args = _nothing, ()  # what it holds is not kept until then

    def __lt__(self, other: "_Timer") -> bool:
        return (self.at, self.number) < (other.at, other.number)


def _call(callback: Callable[..., object], *args: object) -> None:
    """Call ``callback``; what it raises is nobody's who happens to run it."""
    try:
        callback(*args)
    except Exception:
        log.exception("unhandled error")


def _nothing() -> None:
    """Stand for a call that is not made."""

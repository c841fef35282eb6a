"""The processors of a pod: threads that run share them equally, as the kernel has it."""

import heapq
import itertools
from collections.abc import Generator
from typing import Any

import simpy

Steps = Generator[simpy.Event, Any, None]
"""The steps of a process of simpy: the events that it waits for."""


class Processors:
    """``count`` processors that run pieces of work, each in a thread of its own.

    A piece of work runs at full speed while there are as many processors as pieces; more pieces
    share them equally. All pieces have the same speed, so the virtual time, which is the work that
    each running piece has done, tells which one ends first.
    """

    def __init__(self, env: simpy.Environment, count: int) -> None:
        self._env = env
        self._count = count
        self._busy_s = 0.0
        self._virtual = 0.0
        self._since = 0.0
        """The time at which the virtual time was brought up to date."""
        self._ends: list[tuple[float, int, simpy.Event]] = []
        """The heap of the running pieces by the virtual time at which they end."""
        self._numbers = itertools.count()
        self._timer: simpy.Event | None = None
        """The timer of the piece that ends first; older timers do not count any more."""

    @property
    def busy_s(self) -> float:
        """The seconds that all processors have worked so far, together."""
        self._advance()
        return self._busy_s

    def run(self, seconds: float) -> simpy.Event:
        """Return an event that happens once ``seconds`` of work are done."""
        self._advance()
        done = self._env.event()
        heapq.heappush(self._ends, (self._virtual + seconds, next(self._numbers), done))
        self._plan()
        return done

    def _advance(self) -> None:
        """Bring the virtual time up to date."""
        running = len(self._ends)
        if running:
            passed = self._env.now - self._since
            self._virtual += passed * min(1.0, self._count / running)
            self._busy_s += passed * min(running, self._count)
        self._since = self._env.now

    def _plan(self) -> None:
        """Set the timer of the piece that ends first."""
        self._timer = None
        if self._ends:
            left = max(0.0, self._ends[0][0] - self._virtual)
            self._timer = self._env.timeout(left * max(1.0, len(self._ends) / self._count))
            assert self._timer.callbacks is not None  # it has not happened yet
            self._timer.callbacks.append(self._end_first)

    def _end_first(self, timer: simpy.Event) -> None:
        if timer is self._timer:
            self._advance()
            _, _, done = heapq.heappop(self._ends)
            done.succeed()
            self._plan()


class Thread:
    """A thread that does one piece of work after the other, in the order in which they come."""

    def __init__(self, env: simpy.Environment, processors: Processors) -> None:
        self._turn = simpy.Resource(env)
        self._processors = processors
        self.busy_s = 0.0
        """The seconds of work that the thread was given."""

    def run(self, seconds: float) -> Steps:
        """Do ``seconds`` of work once all earlier work is done."""
        if not seconds:
            return
        self.busy_s += seconds
        with self._turn.request() as turn:
            yield turn
            yield self._processors.run(seconds)

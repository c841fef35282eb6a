"""The opening of graphs of float images and of gradients: none is open before somebody asks for it.

All requests of an HTTP worker for what one graph gives wait together, for one question to each
engine.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from server.bundle.manifest import FLOATS, GRADIENT
from server.errors import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    NotOffered,
    without_paths,
)
from server.ipc.catalog import Entry
from server.ipc.messages import Ask, Told
from server.worker.engine_balancer import Backend, Balancer
from server.worker.event_loop import EventLoop, Waiter
from server.worker.inflight_request import HUNG_UP
from server.worker.peer import Peer, hung_up
from server.worker.request_terms import RequestTerms

GIVES = {FLOATS: "float images", GRADIENT: "the gradient"}
GIVES_NOT = {FLOATS: "draws no float images", GRADIENT: "restores no photographs"}
LOOK_S = 0.25
"""The seconds between two looks whether a caller that waits has hung up."""


class _Opening:
    """One graph that engines are to open, and those who wait for it."""

    def __init__(self, entry: Entry, kind: str) -> None:
        self.entry = entry
        self.kind = kind
        self.waiters: list[Waiter] = []
        self.unanswered: dict[int, Backend] = {}
        """The engines that are still to answer, by the id of what they were asked."""
        self.answered: dict[Backend, str] = {}
        """The errors of those that have answered, an empty text for none."""


class GraphsOnDemand:
    """Asks the engines of ``balancer`` for graphs; ``ids`` number the questions."""

    def __init__(
        self,
        balancer: Balancer,
        loop: EventLoop,
        ids: Iterator[int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._balancer = balancer
        self._loop = loop
        self._ids = ids
        self._clock = clock
        self._openings: dict[int, _Opening] = {}
        """What is being opened, by the key of what the graph gives."""

    def open(self, entry: Entry, kind: str, terms: RequestTerms, deadline: float) -> None:
        """Wait until the engines that serve ``entry`` have opened its graph of that ``kind``.

        Raises:
            NotOffered: they cannot, or will not.
            EngineUnavailable: they cannot now, or no engine appeared in time.
            DeadlineExceeded: they have not in time.
            ClientGone: the caller hung up.
        """
        if entry.refusal_of(kind):
            raise _not_offered(entry, kind)
        opening = self._openings.get(entry.key_of(kind))
        if opening is None:
            opening = self._openings[entry.key_of(kind)] = _Opening(entry, kind)
            self._ask(opening)
        errors = self._wait(opening, terms.peer, deadline)
        if errors is HUNG_UP:
            raise ClientGone
        if errors is None:
            up = self._balancer.up
            raise DeadlineExceeded(terms.timeout_s) if up else EngineUnavailable()
        if all(errors):
            now = self._balancer.catalog.entries.get(str(entry))
            if now is not None and now.refusal_of(kind):
                raise _not_offered(now, kind)
            raise EngineUnavailable(f"{GIVES[kind]} of {entry}: {without_paths(errors[0])}")

    def _wait(self, opening: _Opening, peer: Peer | None, deadline: float) -> Any:
        """Return the errors of the engines, ``HUNG_UP``, or None where it is too late."""
        waiter = self._loop.waiter()
        opening.waiters.append(waiter)
        left_s = max(0.0, deadline - self._clock())
        stops = [self._loop.call_later(left_s, waiter.wake, None)]
        if peer is not None:

            def look() -> None:
                if hung_up(self._loop, [peer]):
                    self._loop.call_soon(waiter.wake, HUNG_UP)

            stops.append(self._loop.call_periodically(LOOK_S, look))
        try:
            return waiter.wait()
        finally:
            for stop in stops:
                stop()
            opening.waiters.remove(waiter)  # who comes next need not ask again

    def _ask(self, opening: _Opening) -> None:
        """Ask the engines that serve the bundle and were not asked yet."""
        asked = {*opening.unanswered.values(), *opening.answered}
        for backend in self._balancer.able(opening.entry.key):
            if backend not in asked:
                entry = opening.entry
                ask = Ask(next(self._ids), opening.kind, entry.name, entry.version)
                opening.unanswered[ask.ask_id] = backend
                backend.connection.send(ask)

    def _end_if_answered(self, opening: _Opening) -> None:
        if opening.answered and not opening.unanswered:
            del self._openings[opening.entry.key_of(opening.kind)]
            errors = list(opening.answered.values())
            for waiter in opening.waiters:
                self._loop.call_soon(waiter.wake, errors)

    # callbacks of the event loop

    def deliver(self, told: Told) -> None:
        """Note what an engine has answered."""
        for opening in list(self._openings.values()):
            if backend := opening.unanswered.pop(told.ask_id, None):
                opening.answered[backend] = told.error
                self._end_if_answered(opening)

    def on_up(self) -> None:
        """Ask an engine that has come for what is waited for."""
        for opening in self._openings.values():
            self._ask(opening)

    def on_down(self, gone: Backend) -> None:
        """Note that an engine is gone: where no other answers, the next one is asked."""
        for opening in list(self._openings.values()):
            opening.answered.pop(gone, None)
            for ask_id in [key for key, x in opening.unanswered.items() if x is gone]:
                del opening.unanswered[ask_id]
            self._end_if_answered(opening)


def _not_offered(entry: Entry, kind: str) -> NotOffered:
    reason = without_paths(entry.refusal_of(kind))
    return NotOffered(f"{entry} {GIVES_NOT[kind]}: {reason}")

"""What administrators want of the engines: models loaded and unloaded."""

from collections.abc import Iterator, Sequence

from server.errors import DeadlineExceeded, EngineUnavailable, LoadFailed
from server.ipc.messages import Ask, Told
from server.worker.engine_balancer import Backend
from server.worker.event_loop import EventLoop, Waiter


class _Wish:
    """What one administrator wants, and which engines have not answered yet."""

    def __init__(self, waiter: Waiter) -> None:
        self.waiter = waiter
        self.unanswered: dict[int, Backend] = {}
        """The engines that are still to answer, by the id of what they were asked."""
        self.answers: list[Told | None] = []
        """The answers so far; None is that of an engine that is gone."""


class Administration:
    """Passes on what administrators want, and hands them the engines' answers.

    The ``ids`` number the questions.
    """

    def __init__(self, loop: EventLoop, ids: Iterator[int]) -> None:
        self._loop = loop
        self._wishes: list[_Wish] = []
        self._ids = ids

    def ask(
        self, backends: Sequence[Backend], action: str, name: str, version: str, timeout_s: float
    ) -> None:
        """Have each of ``backends`` ``load`` or ``unload`` a model, and wait until it is done.

        Raises:
            LoadFailed: it cannot be done.
            EngineUnavailable, DeadlineExceeded: an engine is gone, or did not answer in time.
        """
        wish = _Wish(self._loop.waiter())
        self._wishes.append(wish)
        stop = self._loop.call_later(timeout_s, wish.waiter.wake, None)
        try:
            for backend in backends:
                ask = Ask(next(self._ids), action, name, version)
                wish.unanswered[ask.ask_id] = backend
                backend.connection.send(ask)
            wish.waiter.wait()
        finally:
            stop()
            self._wishes.remove(wish)
        if wish.unanswered:
            raise DeadlineExceeded(timeout_s)
        _raise_for(wish.answers)

    # callbacks of the event loop

    def deliver(self, told: Told) -> None:
        """Note what an engine has answered."""
        for wish in list(self._wishes):
            if told.ask_id in wish.unanswered:
                self._note(wish, told.ask_id, told)

    def on_down(self, gone: Backend) -> None:
        """Note that an engine is gone: it will answer nothing."""
        for wish in list(self._wishes):
            for ask_id in [key for key, backend in wish.unanswered.items() if backend is gone]:
                self._note(wish, ask_id, None)

    def _note(self, wish: _Wish, ask_id: int, answer: Told | None) -> None:
        del wish.unanswered[ask_id]
        wish.answers.append(answer)
        if not wish.unanswered:
            self._loop.call_soon(wish.waiter.wake, None)


def _raise_for(answers: Sequence[Told | None]) -> None:
    if None in answers:
        raise EngineUnavailable("an engine ended while it was at it; look whether it is done")
    for told in answers:
        if told and told.error:
            raise LoadFailed(told.error)

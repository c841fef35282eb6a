"""The body of an answer that is sent while it is made, part by part."""

from collections.abc import Callable, Generator, Iterator


class Cut(Exception):
    """The rest of an answer that has begun cannot be made: its connection is to be cut off.

    So no caller takes a half answer for a whole one. Whoever raises it has logged the reason.
    """


class Streamed:
    """The body of an answer as a WSGI application returns it, of ``length`` bytes.

    ``parts`` yields it, and raises ``Cut`` where the rest cannot be made. The length is None if it
    is not known. Up to ``ahead`` bytes of the parts that come next are in memory while a part is
    sent. ``release`` is called when the answer has ended, however it has.
    """

    def __init__(
        self,
        parts: Generator[bytes, None, None],
        length: int | None,
        ahead: int,
        release: Callable[[], None],
    ) -> None:
        self.length = length
        self.ahead = ahead
        self._parts = parts
        self._at_end = [release]

    def at_end(self, call: Callable[[], None]) -> None:
        """Call ``call`` as well when the answer has ended."""
        self._at_end.append(call)

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        """End the answer, whether all of it was sent or not; it refers to nothing afterwards."""
        calls, self._at_end = self._at_end, []
        self._parts.close()
        self._parts = _nothing()
        for call in calls:
            call()


def _nothing() -> Generator[bytes, None, None]:
    yield from ()

"""Who sent a request: the holder of a key, with the key's rights, limits and counts."""

import math
from collections.abc import Callable

from server.errors import (
    ClientGone,
    DeadlineExceeded,
    InvalidRequest,
    NotAdministrator,
    ServingError,
)
from server.keys import Key
from server.observability import metrics
from server.worker.generated import Generated
from server.worker.key_limits import KeyLimits

REASONS = ("rate", "in_flight", "size", "role")
"""Why a key does not allow a request, as the metrics have it."""

Fields = list[tuple[str, str]]


class Caller:
    """The holder of one key, as the requests of one HTTP worker meet it.

    ``row`` is where ``limits`` keep what the key uses; None if the key has no limits.
    """

    def __init__(self, key: Key, limits: KeyLimits, row: int | None) -> None:
        self.key = key
        self._limits = limits
        self._row = row
        self._images = metrics.KEY_IMAGES.labels(key.name)
        self._refused = {x: metrics.KEY_REFUSED.labels(key.name, x) for x in REASONS}
        """How often the key did not allow a request, told from the start: a first refusal too is
        then a rate."""

    @property
    def is_limited(self) -> bool:
        """Whether the key has limits, of which answers tell."""
        return self._row is not None

    def check_admin(self) -> None:
        """Check that the caller may load and unload models.

        Raises:
            NotAdministrator: it may not.
        """
        if not self.key.is_admin:
            raise self._counted("role", NotAdministrator(self.key.name))

    def begin(self, images: int) -> None:
        """Let a request for so many ``images`` in: they are in flight until ``end``.

        Raises:
            InvalidRequest: the key will never be allowed so many at once.
            RateExceeded, TooManyInFlight: it is not allowed so many now.
        """
        if self._row is None:
            return
        most = self.key.most_at_once
        if images > most:
            wanted = f"at most {most}: the key {self.key.name!r} is allowed no more at once"
            raise self._counted("size", InvalidRequest("n", images, wanted))
        try:
            self._limits.take(self._row, self.key, images)
        except ServingError as error:
            raise self._counted(getattr(error, "limit", ""), error) from None

    def draw(self, images: int, generate: Callable[[], Generated]) -> Generated:
        """Return what ``generate`` draws for the caller: so many ``images``.

        The key pays for what is drawn, or was not waited for.

        Raises:
            InvalidRequest, RateExceeded, TooManyInFlight: see ``begin``.
            Exception: what ``generate`` raised.
        """
        self.begin(images)
        return self.charge(images, generate)

    def charge(self, images: int, generate: Callable[[], Generated]) -> Generated:
        """Return what ``generate`` draws, so many ``images``, which ``begin`` has let in.

        Raises:
            Exception: what ``generate`` raised.
        """
        try:
            generated = generate()
        except (ClientGone, DeadlineExceeded):
            self.end(images)
            raise
        except BaseException:
            self.refund(images)
            raise
        end = generated.end

        def end_both() -> None:
            end()
            self.drew(images)

        generated.end = end_both
        return generated

    def end(self, images: int) -> None:
        """Note that ``images`` are in flight no more."""
        if self._row is not None:
            self._limits.end(self._row, self.key, images)

    def drew(self, images: int) -> None:
        """Note that ``images`` were drawn for the caller, and are in flight no more."""
        self.end(images)
        self._images.inc(images)

    def refund(self, images: int) -> None:
        """Note that ``images`` were not drawn, and are in flight no more."""
        self.end(images)
        if self._row is not None:
            self._limits.refund(self._row, self.key, images)

    def fields(self, retry_after: str | None = None) -> Fields:
        """Return the header fields that tell of the key's limits.

        ``retry_after`` is the field of that name of the same answer, if it has one.

        Source: draft-ietf-httpapi-ratelimit-headers-10. A bucket that fills all the time has the
        window in which it becomes full.
        """
        if self._row is None:
            return []
        key, policies, states = self.key, [], []
        if key.images_per_s:
            left, fills_in_s = self._limits.left(self._row, key)
            window = math.ceil(key.burst / key.images_per_s)
            policies.append(f'"images";q={key.burst};w={window};qu="images"')
            states.append(f'"images";r={left};t={retry_after or math.ceil(fills_in_s)}')
        if key.in_flight:
            policies.append(f'"in-flight";q={key.in_flight};qu="concurrent-images"')
            states.append(f'"in-flight";r={self._limits.room(self._row, key)}')
        return [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states))]

    def _counted(self, reason: str, error: ServingError) -> ServingError:
        self._refused[reason].inc()
        return error

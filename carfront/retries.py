"""When a request is sent again, and how long it may take altogether."""

import random
import time
from collections.abc import Callable

from carfront.errors import CarfrontError, TooLate

FIRST_S, LONGEST_S = 0.1, 5.0
"""The bounds of the pause before a request is sent again, where the server names none."""
CONNECT_S = 10.0
"""The seconds in which a connection must come about."""
GRACE_S = 2.0
"""The seconds that an answer may come late: the server refuses in its own words at the deadline."""


class Attempts:
    """The attempts of one request: pauses grow, and end with the deadline.

    A pause is random, from half of its length to all of it: callers that were refused together do
    not come back together. ``Retry-After`` is the least.
    """

    def __init__(
        self,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._jitter = jitter
        self._deadline = clock() + timeout_s
        self._pause_s = FIRST_S

    @property
    def left_s(self) -> float:
        """The seconds until the deadline, which may be over."""
        return self._deadline - self._clock()

    def timeout_ms(self) -> int:
        """Return the milliseconds that the next attempt may take.

        Raises:
            TooLate: there are none.
        """
        if (left_s := self.left_s) < 0.001:
            raise TooLate(504, f"there was no answer within {self._timeout_s:g} s")
        return int(left_s * 1000)

    def check_grace(self) -> None:
        """Check that an answer which still comes is not too late.

        Raises:
            TooLate: it is: the deadline was ``GRACE_S`` ago.
        """
        if self.left_s < -GRACE_S:
            raise TooLate(504, f"the answer was not whole within {self._timeout_s:g} s")

    def pause_s(self, error: CarfrontError) -> float:
        """Return how long to wait after ``error`` before the next attempt.

        Raises:
            CarfrontError: ``error`` itself, as the deadline would be over by then.
        """
        pause_s = self._jitter(self._pause_s / 2, self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_S)
        if error.retry_after_s is not None:
            pause_s += error.retry_after_s
        if pause_s >= self.left_s:
            raise error
        return pause_s

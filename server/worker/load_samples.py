"""What is looked at once a second, as no request could tell of it: what waits for this worker."""

import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any

from server.observability import metrics

PERIOD_S = 1.0
"""The seconds after which gunicorn's gevent worker calls ``notify`` again."""
UNACCEPTED = struct.Struct("@24xI")
"""What Linux tells of a socket that listens: how many connections nobody has accepted.

Source: tcp(7), TCP_INFO; the kernel's ``tcp_get_info``, tcpi_unacked.
"""


class LoadSamples:
    """Samples of one HTTP worker: its requests in flight, its backlog, and how late it is."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._due: float | None = None

    def take(self, in_flight: int, listeners: Iterable[Any]) -> None:
        """Note the requests in flight, the backlog of ``listeners``, and how late this call is."""
        now = self._clock()
        if self._due is not None:
            metrics.LOOP_LAG_SECONDS.observe(max(0.0, now - self._due))
        self._due = now + PERIOD_S
        metrics.REQUESTS_IN_FLIGHT.set(in_flight)
        metrics.ACCEPT_BACKLOG.set(sum(map(_backlog, listeners)))


def _backlog(listener: Any) -> int:
    """Return how many connections wait to be accepted; 0 where the system does not say."""
    with suppress(OSError, AttributeError, struct.error):
        told = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, UNACCEPTED.size)
        return int(UNACCEPTED.unpack(told)[0])
    return 0

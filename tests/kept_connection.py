"""A connection that is kept, and whose caller knows whether a request that is lost came late."""

import socket
import struct
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse

from server.worker.gunicorn_worker import LAST_REQUEST_S
from tests.patience import PATIENCE_S

SILENCE = struct.Struct("@52xI")
"""What Linux tells of a connection: the milliseconds since something came, read or not.

Source: tcp(7), TCP_INFO; the kernel's ``tcp_get_info``, tcpi_last_data_recv.
"""
TICK_S = 0.01
"""The longest step in which the system counts them."""


class CameLate(ConnectionError):
    """The request that was lost came later than a server that stops waits for one."""


class KeptConnection(HTTPConnection):
    """A connection to ``place``, host:port, that knows how long the server waits for a request.

    A worker that stops ends a connection that was silent for ``LAST_REQUEST_S``. A caller that the
    machine lets stand still for longer loses its next request, by no fault of the server's.
    """

    def __init__(self, place: str) -> None:
        super().__init__(place, timeout=PATIENCE_S)
        self._heard = 0.0
        """A time before which the server did not wait for the next request."""

    def connect(self) -> None:
        self._heard = time.monotonic()
        super().connect()

    def answer_to(
        self,
        method: str,
        path: str,
        body: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        """Send a request and return its answer, whose body is still to be read.

        Raises:
            CameLate: no answer came, and the request was sent late.
            OSError, HTTPException: no answer came for another reason.
        """
        try:
            try:
                self.request(method, path, body, fields or {})
            finally:
                waited_s = time.monotonic() - self._heard
            answer = self.getresponse()
        except ConnectionRefusedError:
            raise
        except ConnectionError as lost:
            self.close()
            if waited_s > LAST_REQUEST_S:
                raise CameLate(f"sent {waited_s:.1f} s after the last answer") from lost
            raise
        if self.sock:
            self._heard = time.monotonic() - TICK_S - self._silence_s()
        return answer

    def _silence_s(self) -> float:
        """Return for how long nothing has come; 0 where the system does not say."""
        if sys.platform != "linux":
            return 0.0
        told = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SILENCE.size)
        return float(SILENCE.unpack(told)[0]) / 1000

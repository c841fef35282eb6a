"""An HTTP worker's connection to one engine, made anew whenever it ends.

Messages that are waiting together leave in one packet. The messages that arrive are handed on
straight from the event loop, which nothing here ever blocks.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.ipc.arena import Arena
from server.ipc.engine_socket import connect, send_hello
from server.ipc.messages import MAX_PACKET, Ask, Cancel, Submit, in_packet, pack, unpack
from server.worker.event_loop import EventLoop, Stop

RECONNECT_S = 0.05
"""Pause between two tries to reach the engine."""
AGAIN_S = 0.001
"""Pause before more is sent to an engine that is slow to read."""


class EngineConnection:
    """Keeps a connection to the engine that listens at ``path``.

    The engine sees ``arena``. ``on_message`` gets every message of the engine, ``on_up`` is called
    when there is an engine and ``on_down`` when it is gone: what was not answered is lost then.
    """

    def __init__(
        self,
        path: Path,
        arena: Arena,
        loop: EventLoop,
        on_message: Callable[[Any], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        self._path = path
        self._arena = arena
        self._loop = loop
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._outgoing: dict[type[Any], list[Any]] = {Submit: [], Cancel: [], Ask: []}
        """The messages to be sent, in this order."""
        self._flushing = False
        """Whether ``_flush`` is about to be called."""
        self._sock: socket.socket | None = None
        self._stop_reading: Stop = _nothing
        self._stop_connecting = loop.call_periodically(RECONNECT_S, self._stay_connected)

    @property
    def up(self) -> bool:
        """Whether an engine is at the other end."""
        return self._sock is not None

    def send(self, message: Submit | Cancel | Ask) -> None:
        """Send ``message`` with the others that are ready by then; without an engine, to nobody."""
        self._outgoing[type(message)].append(message)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def hang_up(self) -> None:
        """End the connection; it is made anew."""
        if self._sock is None:
            return
        self._stop_reading()
        self._sock.close()
        self._sock = None
        self._on_down()

    def close(self) -> None:
        """End the connection for good."""
        self._stop_connecting()
        self.hang_up()

    def _stay_connected(self) -> None:
        if self._sock is None:
            self._connect()

    def _connect(self) -> None:
        # The event loop's own kind of socket would wait where this must not.
        sock = self._loop.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connect(sock, self._path)
            send_hello(sock, self._arena)
        except OSError:
            sock.close()
            return
        sock.setblocking(False)
        self._sock = sock
        self._stop_reading = self._loop.watch_readable(sock.fileno(), self._receive)
        self._forget()  # what is left was for another engine
        self._on_up()

    def _flush(self) -> None:
        self._flushing = False
        if self._sock is None:
            self._forget()
            return
        try:
            for messages in self._outgoing.values():
                if messages:
                    _send(self._sock, messages)
        except BlockingIOError:
            self._flushing = True
            self._loop.call_later(AGAIN_S, self._flush)
        except OSError:
            self.hang_up()

    def _receive(self) -> None:
        if self._sock is None:
            return
        try:
            while packet := self._sock.recv(MAX_PACKET):
                for message in unpack(packet):
                    self._on_message(message)
                if self._sock is None:
                    return
            self.hang_up()
        except BlockingIOError:
            return
        except OSError:
            self.hang_up()

    def _forget(self) -> None:
        for messages in self._outgoing.values():
            messages.clear()


def _send(sock: socket.socket, messages: list[Any]) -> None:
    """Send ``messages``; those that the socket does not take stay.

    Raises:
        BlockingIOError: some stay.
    """
    sent = 0
    try:
        for packet in pack(messages):
            sock.send(packet)
            sent += 1
    except BlockingIOError:
        del messages[: sent * in_packet(messages)]
        raise
    messages.clear()


def _nothing() -> None:
    """Stand for the end of what has not begun."""

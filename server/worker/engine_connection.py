"""An HTTP worker's connection to the engine, made anew whenever it ends.

Messages that are waiting together leave in one packet; those that arrive are handed on straight
from the event loop, which nothing here ever blocks.
"""

import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.monkey import get_original

from server.ipc.arena import Arena
from server.ipc.engine_socket import send_hello
from server.ipc.messages import MAX_PACKET, Ask, Cancel, Submit, in_packet, pack, unpack

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
        on_message: Callable[[Any], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        self._path = path
        self._arena = arena
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._waiting: dict[type[Any], deque[Any]] = {
            kind: deque() for kind in (Submit, Cancel, Ask)
        }
        """What is to be sent, in this order."""
        self._flushing = False
        self._sock: Any = None
        self._watcher: Any = None
        self._hub = gevent.get_hub()
        self._task = gevent.spawn(self._stay_connected)

    @property
    def up(self) -> bool:
        """Whether an engine is at the other end."""
        return self._sock is not None

    def say(self, message: Submit | Cancel | Ask) -> None:
        """Send ``message`` with the others that are ready by then; without an engine, to nobody."""
        self._waiting[type(message)].append(message)
        if not self._flushing:
            self._flushing = True
            self._hub.loop.run_callback(self._flush)

    def hang_up(self) -> None:
        """End the connection; it is made anew."""
        if self._sock is None:
            return
        self._watcher.stop()
        self._watcher.close()
        self._sock.close()
        self._sock = None
        self._on_down()

    def close(self) -> None:
        """End the connection for good."""
        gevent.kill(self._task)
        self.hang_up()

    def _stay_connected(self) -> None:
        while True:
            if self._sock is None:
                self._connect()
            gevent.sleep(RECONNECT_S)

    def _connect(self) -> None:
        # Not gevent's socket: it would wait where this must not.
        sock = get_original("socket", "socket")(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(str(self._path))
            send_hello(sock, self._arena)
        except OSError:
            sock.close()
            return
        sock.setblocking(False)
        self._sock = sock
        self._watcher = self._hub.loop.io(sock.fileno(), 1)
        self._watcher.start(self._receive)
        self._forget()  # it was for another engine
        self._on_up()

    def _flush(self) -> None:
        self._flushing = False
        if self._sock is None:
            self._forget()
            return
        try:
            for messages in self._waiting.values():
                self._send(messages)
        except BlockingIOError:
            self._flushing = True
            gevent.spawn_later(AGAIN_S, self._flush)
        except OSError:
            self.hang_up()

    def _send(self, messages: deque[Any]) -> None:
        if messages:
            for packet in pack(list(messages)):
                self._sock.send(packet)
                for _ in range(in_packet(messages)):
                    messages.popleft()

    def _receive(self) -> None:
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
        for messages in self._waiting.values():
            messages.clear()

"""The engine's connections to HTTP workers: their sockets, their messages and their answers."""

import logging
import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from server.ipc.arena import Arena
from server.ipc.engine_socket import listen, receive_hello
from server.ipc.messages import (
    MAX_PACKET,
    Ask,
    Cancel,
    Changed,
    Message,
    Result,
    Submit,
    pack,
    unpack,
)

if TYPE_CHECKING:
    from server.engine.run_batch import EngineRequest

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""The seconds between two looks whether the socket is still there."""


class WorkerConnection:
    """The connection to one HTTP worker: its socket, its arena, and its unanswered requests."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.arena: Arena | None = None
        self.requests: dict[int, EngineRequest] = {}
        """The worker's requests that are not answered, by their ids."""
        self.results: list[Result] = []
        """The results that wait to be sent."""
        self.running = 0
        """The number of parts of batches in flight that will write to the worker's arena."""
        self.ended = False

    def end(self) -> None:
        """Hang up once no batch writes to the arena, which the worker must not reuse before."""
        self.ended = True
        if not self.running:
            self.close()

    def ran(self) -> None:
        """Note that a part of a batch has run, and hang up if that was waited for."""
        self.running -= 1
        if self.ended and not self.running:
            self.close()

    def close(self) -> None:
        """Hang up and close the arena."""
        self.sock.close()
        if self.arena:
            self.arena.close()


class WorkerConnections:
    """Listens at ``path`` and keeps the connection of every HTTP worker.

    ``on_submit`` is called with each request, ``on_cancel`` with each cancelled one, ``on_ask``
    with each administrator's request, ``on_gone`` with each connection that ends.
    """

    def __init__(
        self,
        path: Path,
        on_submit: Callable[[WorkerConnection, Arena, Submit], None],
        on_cancel: Callable[[WorkerConnection, Cancel], None],
        on_ask: Callable[[WorkerConnection, Ask], None],
        on_gone: Callable[[WorkerConnection], None],
    ) -> None:
        self.path = path
        self.open: set[WorkerConnection] = set()
        self._on_submit = on_submit
        self._on_cancel = on_cancel
        self._on_ask = on_ask
        self._on_gone = on_gone
        self._selector = selectors.DefaultSelector()
        self._look_at = 0.0
        """The time at which to look for the socket again."""
        self._unreachable = False
        """Whether the socket is gone and could not be made anew."""
        self._listen_on(listen(path))

    def wait(self, timeout_s: float) -> list[selectors.SelectorKey]:
        """Wait for at most ``timeout_s``, and return the sockets that can be read."""
        return [key for key, _ in self._selector.select(timeout_s)]

    def receive(self, key: selectors.SelectorKey) -> None:
        """Accept or read from a socket that ``wait`` returned."""
        if key.fileobj is self._listener:
            self._accept()
        elif key.data in self.open:
            self._read(key.data)

    def send(self) -> None:
        """Send every worker its results, those that wait together in one packet."""
        for connection in [connection for connection in self.open if connection.results]:
            results, connection.results = connection.results, []
            self.tell(connection, results)

    def tell(self, connection: WorkerConnection, messages: Sequence[Message]) -> None:
        """Send one worker ``messages``, which are all of one kind."""
        try:
            for packet in pack(messages):
                connection.sock.send(packet)
        except OSError as error:  # the worker is gone, or has thousands of answers to read
            log.warning("an HTTP worker does not take its answers: %s", error)
            self.hang_up(connection)

    def hang_up(self, connection: WorkerConnection) -> None:
        """End a connection."""
        self._on_gone(connection)
        self._selector.unregister(connection.sock)
        self.open.discard(connection)
        connection.end()

    def hang_up_idle(self) -> None:
        """End the connections of workers without unanswered requests."""
        for connection in [x for x in self.open if not x.requests]:
            self.hang_up(connection)

    def replaced(self) -> bool:
        """Return whether a newer engine listens at the path."""
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:  # there is none, or nobody can tell
            return False

    def keep_socket(self, now: float) -> None:
        """Listen anew if the socket was removed, as nobody else would find the engine.

        The socket is looked for every ``LOOK_S`` seconds; ``now`` is the time in seconds. Where no
        socket can be made, the workers that are connected are served on.
        """
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        try:
            if not self.path.is_socket():
                self._listen_anew()
            self._unreachable = False
        except OSError as error:
            if not self._unreachable:
                log.error("new HTTP workers do not find the engine for now: %s", error)
            self._unreachable = True

    def close(self) -> None:
        """End all connections and stop listening; the socket's file stays if a newer engine's."""
        self._selector.close()
        self._listener.close()
        if not self.replaced():
            with suppress(OSError):
                self.path.unlink()
        for connection in self.open:
            connection.close()

    def _listen_anew(self) -> None:
        listener = listen(self.path)
        log.warning("somebody removed %s: listening anew", self.path)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listen_on(listener)

    def _listen_on(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._inode = self.path.stat().st_ino

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # the worker hung up already, or no descriptor is left
            log.warning("an HTTP worker could not connect: %s", error)
            return
        sock.setblocking(False)
        connection = WorkerConnection(sock)
        self.open.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _read(self, connection: WorkerConnection) -> None:
        try:
            if connection.arena is None:
                connection.arena = receive_hello(connection.sock)
                if connection.arena is None:
                    self.hang_up(connection)
                else:  # the worker may have read the catalog before its last change
                    self.tell(connection, [Changed()])
                return
            while packet := connection.sock.recv(MAX_PACKET):
                for message in unpack(packet):
                    if isinstance(message, Submit):
                        self._on_submit(connection, connection.arena, message)
                    elif isinstance(message, Cancel):
                        self._on_cancel(connection, message)
                    elif isinstance(message, Ask):
                        self._on_ask(connection, message)
            self.hang_up(connection)
        except BlockingIOError:
            return
        except (OSError, ValueError, OverflowError):  # also: slots that no arena has
            self.hang_up(connection)

"""The engine's Unix socket: where it listens, and how an HTTP worker introduces itself.

A hello is the first packet of a connection, and carries the descriptor of the worker's arena.
"""

import os
import socket
from pathlib import Path

from server.ipc.arena import Arena

HELLO = b"carfront-engine/4"
"""The first packet of a connection; another version is another word."""


def listen(path: Path) -> socket.socket:
    """Return a listening socket at ``path``; it takes the place of an older engine's at once."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    listener.bind(str(draft))
    listener.listen(256)
    draft.rename(path)
    return listener


def send_hello(sock: socket.socket, arena: Arena) -> None:
    """Introduce a worker: the hello carries its arena's descriptor."""
    socket.send_fds(sock, [HELLO], [arena.fd])


def receive_hello(sock: socket.socket) -> Arena | None:
    """Return the arena of the worker at the other end, None when it hung up or is no worker."""
    word, fds, _, _ = socket.recv_fds(sock, len(HELLO) + 1, 1)
    if word != HELLO or len(fds) != 1:
        for fd in fds:
            os.close(fd)
        return None
    try:
        return Arena(fds[0], os.fstat(fds[0]).st_size)
    except OSError:
        os.close(fds[0])
        raise

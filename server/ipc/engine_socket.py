"""The engine's Unix socket: how an engine listens, and how an HTTP worker introduces itself.

The hello is the first packet of a connection, and carries the descriptor of the worker's arena.
"""

import os
import socket
from pathlib import Path

from server.ipc.arena import Arena

HELLO = b"carfront-engine/4"
"""The bytes of the first packet of a connection, which name the protocol's version."""


def listen(path: Path) -> socket.socket:
    """Return a listening socket at ``path``, which replaces an older engine's atomically."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    listener.bind(str(draft))
    listener.listen(256)
    draft.rename(path)
    return listener


def send_hello(sock: socket.socket, arena: Arena) -> None:
    """Send the worker's hello, with the descriptor of its ``arena``."""
    socket.send_fds(sock, [HELLO], [arena.fd])


def receive_hello(sock: socket.socket) -> Arena | None:
    """Return the arena of the peer, None when the peer hung up or is no worker."""
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

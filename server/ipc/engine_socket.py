"""The engine's Unix socket: how an engine listens, and how an HTTP worker introduces itself.

The hello is the first packet of a connection, and carries the descriptor of the worker's arena.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from server.ipc.arena import Arena
from server.ipc.atomic_file import make_folder

HELLO = b"carfront-engine/5"
"""The bytes of the first packet of a connection, which name the protocol's version."""
LONGEST_ADDRESS = 107
"""The largest length of a Unix socket's address in bytes. Source: unix(7)."""


def listen(path: Path) -> socket.socket:
    """Return a listening socket at ``path``, which replaces an older engine's atomically.

    A folder that somebody removed is made anew.

    Raises:
        OSError: the file system takes no socket there.
    """
    make_folder(path.parent)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        with _address(draft) as address:
            listener.bind(address)
        listener.listen(256)
        draft.rename(path)
    except OSError:
        listener.close()
        with suppress(OSError):
            draft.unlink()
        raise
    return listener


def connect(sock: socket.socket, path: Path) -> None:
    """Connect ``sock`` to the engine that listens at ``path``.

    Raises:
        OSError: no engine listens there.
    """
    with _address(path) as address:
        sock.connect(address)


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Yield an address of ``path`` that is short enough, however long the path is."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


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

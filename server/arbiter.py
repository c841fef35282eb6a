"""The engines' arbiter, gunicorn's process that replaces an engine which dies or hangs.

gunicorn starts another arbiter when it dies, but nobody of gunicorn's sees one that hangs, until
an engine is never replaced. The HTTP workers do.
"""

import logging
import os
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import gevent
from gevent import socket
from gunicorn.dirty.protocol import DirtyProtocol

log = logging.getLogger(__name__)

CHECK_S = 5.0
"""How long after an answer the arbiter is asked again."""
PATIENCE_S = 10.0
"""How long it may take to answer: longer than a busy machine leaves a process without a turn."""
PEER = struct.Struct("3i")
"""What Linux tells of a socket's other end: pid, user and group."""


def announce(path: Path, listens_at: str) -> None:
    """Have ``path`` lead to where the arbiter listens; the next one listens elsewhere."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.symlink_to(listens_at)
    draft.replace(path)


def watch(
    path: Path,
    kill: Callable[[int, int], None] = os.kill,
    sleep: Callable[[float], None] = gevent.sleep,
) -> None:
    """Kill each arbiter that ``path`` leads to and that does not answer; never returns.

    gunicorn starts the next one, and that an engine. Until it is ready the dead one's serves on.
    """
    while True:
        if (pid := silent(path, PATIENCE_S)) is not None:
            log.critical("the engines' arbiter (pid %d) hangs, and is killed", pid)
            with suppress(ProcessLookupError):  # another HTTP worker was first
                kill(pid, signal.SIGKILL)
        sleep(CHECK_S)


def silent(path: Path, patience_s: float) -> int | None:
    """Return the pid of the arbiter that ``path`` leads to, if it does not answer within a time.

    None: it answers, or there is none, as while one starts or ends.
    """
    pid = None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience_s)
        try:
            connection.connect(str(path))
            told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
            pid, _, _ = PEER.unpack(told)
            connection.sendall(DirtyProtocol.encode_status(0))
            connection.recv(65536)
        except TimeoutError:
            return pid
        except OSError:
            return None
    return None

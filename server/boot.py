"""What is checked and said at the boot: addresses, the limit of open files, paths of sockets."""

import os
import resource
import tempfile
from typing import Any

from server.ipc.engine_socket import LONGEST_ADDRESS

SPARE_FILES = 64
"""The number of files, besides its connections, that an HTTP worker has open at most."""
GUNICORN_SOCKET = "/gunicorn-dirty-12345678/worker-1000000.sock"
"""The longest path of gunicorn's own sockets, which lie in the directory of temporary files."""


def bind_of(host: str, port: int) -> str:
    """Return the address on which gunicorn listens; a ``host`` may be ``unix:`` and a path."""
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def curl_arguments(name: Any, scheme: str, path: str) -> str:
    """Return what curl is to be told to ask for ``path`` at a socket, by the socket's ``name``.

    Source: ``socket.getsockname``, whose result is a path, or begins with a host and a port.
    """
    if isinstance(name, str | bytes):
        return f"--unix-socket {os.fsdecode(name)} {scheme}://localhost{path}"
    host, port = name[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # where it listens for all
    return f"{scheme}://{bind_of(host, port)}{path}"


def allowed_files(wanted: int) -> int:
    """Return how many files a process may have open, which is raised to ``wanted`` if it can be.

    Processes that are forked later may have as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # a sandbox may forbid it
        return soft
    return allowed


def fault_of_temporary_files() -> str:
    """Return why gunicorn's sockets cannot be made among the temporary files, or an empty text."""
    folder = tempfile.gettempdir()
    most = LONGEST_ADDRESS - len(GUNICORN_SOCKET)
    if len(os.fsencode(folder)) <= most:
        return ""
    return f"TMPDIR is {folder!r}; wanted a path of at most {most} bytes, as sockets lie there"

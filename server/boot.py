"""What is checked and said at the boot: addresses, the limit of open files, paths of sockets."""

import os
import resource
import socket
import tempfile
from typing import Any

from server.ipc.engine_socket import LONGEST_ADDRESS

ENDING_CONNECTIONS = 100
"""The number of connections beyond its limit that an HTTP worker takes at a time: they are new, and
others end for them, whose callers may read why before they hang up. With one at a time a crowd
that connects at once waits for its turn: 500 a second, a probe among them for seconds."""
PROBE_CONNECTIONS = 64
"""The number of connections of one HTTP worker at the port of the metrics and the probes."""
SPARE_FILES = 64
"""The number of files, besides its connections, that an HTTP worker has open at most."""
GUNICORN_SOCKET = "/gunicorn-dirty-12345678/worker-1000000.sock"
"""The longest path of gunicorn's own sockets, which lie in the directory of temporary files."""


def bind_of(host: str, port: int) -> str:
    """Return the address on which gunicorn listens; a ``host`` may be ``unix:`` and a path."""
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def binds_of(host: str, port: int, metrics_port: int) -> list[str]:
    """Return the addresses on which gunicorn listens: that of the callers is the first.

    The other one is that of ``metrics_port``, if there is any. Where callers come to a Unix socket,
    only this host reaches it.
    """
    binds = [bind_of(host, port)]
    if metrics_port:
        binds.append(bind_of("127.0.0.1" if host.startswith("unix:") else host, metrics_port))
    return binds


def grpc_address(host: str, port: int) -> str:
    """Return the address of calls by gRPC: where callers come to a Unix socket, of this host."""
    return bind_of("127.0.0.1" if host.startswith("unix:") else host, port)


def fault_of_address(host: str, port: int) -> str:
    """Return why nobody can listen at a ``host`` and ``port``, or an empty text."""
    host = "127.0.0.1" if host.startswith("unix:") else host
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen()
    except OSError as error:
        return str(error)
    return ""


def is_for_probes(name: Any, metrics_port: int) -> bool:
    """Tell whether a socket is that of metrics and probes, by its name (``getsockname``)."""
    return bool(metrics_port) and isinstance(name, tuple) and name[1] == metrics_port


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

    Processes that are forked later may have as many. Where nothing limits them, it is ``wanted``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return max(soft, wanted)
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

"""What the boot says and checks, of real sockets and of this process's own limits."""

import resource
import socket
import subprocess
import sys
import tempfile

import pytest

from server import boot
from server.boot import (
    allowed_files,
    bind_of,
    binds_of,
    curl_arguments,
    fault_of_address,
    fault_of_temporary_files,
    grpc_address,
)


@pytest.mark.parametrize(
    ("host", "bind"),
    [
        ("127.0.0.1", "127.0.0.1:8000"),
        ("localhost", "localhost:8000"),
        ("::1", "[::1]:8000"),
        ("unix:/run/cars.sock", "unix:/run/cars.sock"),
    ],
)
def test_address_to_listen_at(host, bind):
    assert bind_of(host, 8000) == bind


@pytest.mark.parametrize(
    ("host", "port", "binds"),
    [
        ("0.0.0.0", 0, ["0.0.0.0:8000"]),
        ("0.0.0.0", 9100, ["0.0.0.0:8000", "0.0.0.0:9100"]),
        ("::", 9100, ["[::]:8000", "[::]:9100"]),
        ("unix:/run/cars.sock", 9100, ["unix:/run/cars.sock", "127.0.0.1:9100"]),
    ],
)
def test_metrics_are_where_callers_are_and_on_this_host_where_these_have_a_unix_socket(
    host, port, binds
):
    assert binds_of(host, 8000, port) == binds


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (("127.0.0.1", 8000), "http://127.0.0.1:8000/7.png"),
        (("0.0.0.0", 8000), "http://127.0.0.1:8000/7.png"),
        (("::1", 8000, 0, 0), "http://[::1]:8000/7.png"),
        (("::", 80, 0, 0), "http://[::1]:80/7.png"),
        ("/run/cars.sock", "--unix-socket /run/cars.sock http://localhost/7.png"),
    ],
)
def test_url_is_one_that_works_wherever_the_server_listens(name, arguments):
    assert curl_arguments(name, "http", "/7.png") == arguments


def test_names_are_those_that_sockets_have():
    with socket.socket(socket.AF_UNIX) as unix, tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        unix.bind(path)
        assert path in curl_arguments(unix.getsockname(), "http", "/")


def within(soft, hard, wanted):
    """Return what a process with those limits is allowed, and its soft limit afterwards."""
    program = (
        "import resource; from server.boot import allowed_files; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        f"print(allowed_files({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed", "left"),
    [
        (200, 400, 100, 200, 200),
        (200, 400, 300, 300, 300),
        (200, 400, 900, 400, 400),
        (200, 200, 900, 200, 200),
    ],
)
def test_limit_of_open_files_is_raised_as_far_as_it_may_be(soft, hard, wanted, allowed, left):
    assert within(soft, hard, wanted) == [str(allowed), str(left)]


def test_limit_that_may_not_be_raised_is_told(monkeypatch):
    def refuse(*_):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 400))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert allowed_files(300) == 100
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert allowed_files(300) == 300


def test_folder_of_temporary_files_that_is_too_long_for_sockets_is_told(monkeypatch):
    fits = "/" + "t" * (107 - len(boot.GUNICORN_SOCKET) - 1)
    monkeypatch.setattr(tempfile, "tempdir", fits)
    assert fault_of_temporary_files() == ""
    monkeypatch.setattr(tempfile, "tempdir", fits + "t")
    assert f"TMPDIR is '{fits}t'; wanted a path of at most 63 bytes" in fault_of_temporary_files()


def test_calls_by_grpc_come_to_the_same_host():
    assert grpc_address("::1", 9000) == "[::1]:9000"
    assert grpc_address("0.0.0.0", 9000) == "0.0.0.0:9000"
    assert grpc_address("unix:/run/cars.sock", 9000) == "127.0.0.1:9000"


def test_address_is_free_or_it_is_told_why_not():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "in use" in fault_of_address("127.0.0.1", port)
        assert "in use" in fault_of_address("unix:/run/cars.sock", port)
    assert fault_of_address("127.0.0.1", port) == ""
    assert fault_of_address("192.0.2.1", port)  # no address of this host

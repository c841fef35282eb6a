"""A worker and an engine find each other, and see the same memory."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from server.ipc.arena import Arena, SlotShape
from server.ipc.engine_socket import connect, listen, receive_hello, send_hello

SHAPE = SlotShape((32, 32, 3))


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_worker_and_engine_see_the_same_memory(tmp_path):
    listener = listen(tmp_path / "engine.sock")
    worker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker.connect(str(tmp_path / "engine.sock"))
    engine, _ = listener.accept()
    arena = Arena.create(2**20)
    send_hello(worker, arena)
    seen = receive_hello(engine)
    seen.images(SHAPE, 640, 3)[2, 31, 31] = (1, 2, 3)
    assert arena.images(SHAPE, 640, 3)[2, 31, 31].tolist() == [1, 2, 3]
    for thing in (worker, engine, listener, arena, seen):
        thing.close()


def test_stranger_is_no_worker(tmp_path):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.send(b"GET / HTTP/1.1")
    assert receive_hello(ours) is None
    read, write = os.pipe()
    socket.send_fds(theirs, [b"carfront-engine/9"], [read])
    before = open_files()
    assert receive_hello(ours) is None
    assert open_files() == before, "a stranger's descriptor stayed open"
    for fd in (read, write):
        os.close(fd)
    ours.close()
    theirs.close()


def test_newer_engine_takes_the_older_ones_place(tmp_path):
    path = tmp_path / "engine.sock"
    old = listen(path)
    inode = path.stat().st_ino
    new = listen(path)
    assert path.stat().st_ino != inode
    assert list(tmp_path.iterdir()) == [path]
    old.close()
    new.close()


@pytest.fixture
def short_path():
    """A folder whose path is shorter than those that pytest makes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("length", [107, 108, 250, 1000])
def test_worker_finds_an_engine_however_long_its_path_is(short_path, length):
    rest = "x" * (length - len(f"{short_path}//engine.sock"))
    folder = short_path / "/".join(rest[start : start + 99] for start in range(0, len(rest), 100))
    path = folder / "engine.sock"
    assert len(str(path)) == length
    before = open_files()
    with listen(path) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as worker:
        connect(worker, path)
        with listener.accept()[0] as engine:
            worker.send(b"word")
            assert engine.recv(4) == b"word"
    assert list(folder.iterdir()) == [path]
    assert open_files() == before


def test_engine_listens_in_a_folder_that_was_removed(tmp_path):
    path = tmp_path / "engine-0" / "engine.sock"
    listen(path).close()
    shutil.rmtree(path.parent)
    listen(path).close()
    assert path.is_socket()


def test_failed_listen_leaves_nothing_behind(tmp_path):
    (tmp_path / "engine-0").touch()
    (tmp_path / "engine-1" / "engine.sock").mkdir(parents=True)
    before = open_files()
    for folder in ("engine-0", "engine-1"):
        with pytest.raises(OSError, match=folder):
            listen(tmp_path / folder / "engine.sock")
    assert open_files() == before
    assert [x.name for x in (tmp_path / "engine-1").iterdir()] == ["engine.sock"]

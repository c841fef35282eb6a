"""A worker and an engine find each other, and see the same memory."""

import os
import socket
from pathlib import Path

from server.ipc.arena import Arena, SlotShape
from server.ipc.engine_socket import listen, receive_hello, send_hello

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

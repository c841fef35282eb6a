"""One that hangs for good is in ``tests/chaos``, with the processes that replace it."""

import os
import signal

import gevent
import pytest
from gevent import socket

from server.arbiter import announce, silent, watch


class Stop(BaseException):
    """Ends ``watch``, which never ends."""


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "its.sock"))
        listener.listen()
        announce(tmp_path / "arbiter.sock", str(tmp_path / "its.sock"))
        yield listener


def answering(listener):
    connection, _ = listener.accept()
    with connection:
        connection.recv(100)
        connection.sendall(b"well")


def test_arbiter_that_answers_is_not_silent(listener, tmp_path):
    answer = gevent.spawn(answering, listener)
    assert silent(tmp_path / "arbiter.sock", 60) is None
    answer.get()


def test_arbiter_that_accepts_and_says_nothing_is_silent(listener, tmp_path):
    assert silent(tmp_path / "arbiter.sock", 0.01) == os.getpid()


def test_arbiter_that_ends_or_is_not_there_is_not_silent(listener, tmp_path):
    ended = gevent.spawn(lambda: listener.accept()[0].close())
    assert silent(tmp_path / "arbiter.sock", 60) is None
    ended.get()
    listener.close()
    assert silent(tmp_path / "arbiter.sock", 60) is None
    assert silent(tmp_path / "nothing.sock", 60) is None


def test_next_arbiter_is_found_where_the_one_before_was(listener, tmp_path):
    (tmp_path / "its.sock").unlink()
    with socket.socket(socket.AF_UNIX) as following:
        following.bind(str(tmp_path / "next.sock"))
        following.listen()
        announce(tmp_path / "arbiter.sock", str(tmp_path / "next.sock"))
        answer = gevent.spawn(answering, following)
        assert silent(tmp_path / "arbiter.sock", 60) is None
        answer.get()


@pytest.mark.parametrize("gone", [False, True])
def test_silent_arbiter_is_killed_and_the_next_one_watched(monkeypatch, tmp_path, gone):
    found = iter([None, 7, None, 8])
    monkeypatch.setattr("server.arbiter.silent", lambda path, patience_s: next(found))
    killed, sleeps = [], []

    def kill(pid, number):
        killed.append((pid, number))
        if gone:
            raise ProcessLookupError

    def sleep(seconds):
        sleeps.append(seconds)
        if len(sleeps) == 4:
            raise Stop

    with pytest.raises(Stop):
        watch(tmp_path, kill, sleep)
    assert killed == [(7, signal.SIGKILL), (8, signal.SIGKILL)]

"""New connections go to the HTTP workers that have fewer."""

import os
import socket
from types import SimpleNamespace

import gevent
import pytest
from tests_engine import until

from server.worker.connection_balance import NOBODY, SLACK, ConnectionBalance
from tests.patience import PATIENCE_S


@pytest.fixture
def connection_balance():
    return ConnectionBalance()


def test_worker_is_ahead_of_the_one_with_the_fewest(connection_balance):
    connection_balance.tell(0, 9)
    connection_balance.tell(3, 4)
    connection_balance.tell(511, 7)
    assert connection_balance.is_ahead(0, 4 + SLACK + 1)
    assert not connection_balance.is_ahead(0, 4 + SLACK)
    assert not connection_balance.is_ahead(3, 7 + SLACK)
    assert connection_balance.is_ahead(511, 9)


def test_a_few_more_do_not_matter_among_hundreds(connection_balance):
    connection_balance.tell(0, 800)
    assert not connection_balance.is_ahead(1, 850)
    assert connection_balance.is_ahead(1, 853)


def test_worker_alone_is_ahead_of_nobody(connection_balance):
    connection_balance.tell(0, 900)
    assert not connection_balance.is_ahead(0, 900)


def test_worker_that_is_ahead_has_a_surplus_beyond_its_share(connection_balance):
    assert connection_balance.surplus(0) == 0
    connection_balance.tell(0, 16)
    assert connection_balance.surplus(0) == 0
    connection_balance.tell(7, 0)
    assert connection_balance.surplus(0) == 8
    assert connection_balance.surplus(7) == 0
    connection_balance.tell(9, 1)
    assert connection_balance.surplus(0) == 10  # the shares are five and two thirds
    connection_balance.tell(0, 1 + SLACK)
    connection_balance.leave(7)
    assert connection_balance.surplus(0) == 0


def test_worker_that_accepts_no_more_is_not_counted(connection_balance):
    connection_balance.tell(0, 9)
    connection_balance.tell(1, 0)
    assert connection_balance.is_ahead(0, 9)
    connection_balance.leave(1)
    assert not connection_balance.is_ahead(0, 9)


def test_more_connections_than_can_be_written_down_are_many(connection_balance):
    connection_balance.tell(0, 10 * NOBODY)
    connection_balance.tell(1, 3)
    assert connection_balance.is_ahead(0, 10 * NOBODY)
    assert not connection_balance.is_ahead(1, 3)


def test_processes_forked_later_see_the_counts_of_each_other(connection_balance):
    if not (child := os.fork()):
        connection_balance.tell(1, 2)
        os._exit(0)
    os.waitpid(child, 0)
    assert connection_balance.is_ahead(0, 9)


@pytest.fixture
def two_servers(connection_balance, monkeypatch):
    """Two HTTP workers' servers on one socket; each holds its connections open."""
    from gevent.pool import Pool

    from server.worker import gunicorn_worker

    monkeypatch.setattr(gunicorn_worker, "PAUSE_S", 30.0)  # the other surely comes first
    listener = gevent.socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setblocking(False)  # as gunicorn's is
    servers = [
        gunicorn_worker.BalancedServer(
            listener,
            SimpleNamespace(
                connection_balance=connection_balance,
                slot=slot,
                cfg=SimpleNamespace(accesslog=None),
            ),
            {"application": None, "environ": {}, "spawn": Pool(1000)},
            None,
        )
        for slot in range(2)
    ]
    held = gevent.event.Event()
    for server in servers:
        server.set_handle(lambda *_: held.wait())
        server.start()
    gevent.sleep(0)  # a new pool has its server start to accept in the event loop's first round
    yield servers
    held.set()
    for server in servers:
        server.stop(timeout=5)


def test_connections_that_come_together_are_shared_out(two_servers):
    address = two_servers[0].address
    with gevent.Timeout(PATIENCE_S):
        callers = [socket.create_connection(address) for _ in range(40)]
        until(lambda: sum(len(server.pool) for server in two_servers) == 40)
    counts = [len(server.pool) for server in two_servers]
    assert abs(counts[0] - counts[1]) <= 2 * SLACK, counts
    for caller in callers:
        caller.close()


def test_connection_that_nobody_else_takes_is_accepted_after_the_pause(
    two_servers, connection_balance, monkeypatch
):
    monkeypatch.setattr("server.worker.gunicorn_worker.PAUSE_S", 0.001)
    one, other = two_servers
    other.stop_accepting()  # it hangs; its count stays
    callers = [socket.create_connection(one.address) for _ in range(10)]
    until(lambda: len(one.pool) == 10)
    assert connection_balance.is_ahead(0, 10)
    for caller in callers:
        caller.close()


def test_every_connection_is_left_to_the_others_once(two_servers, connection_balance, monkeypatch):
    monkeypatch.setattr(connection_balance, "is_ahead", lambda slot, connections: True)
    one, other = two_servers
    other.stop_accepting()
    for _ in range(3):
        caller = socket.create_connection(one.address)
        before = len(one.pool)
        one.start_accepting()
        one._do_read()
        assert (one._watcher, len(one.pool)) == (None, before)
        one.start_accepting()
        one._do_read()
        assert len(one.pool) == before + 1
        caller.close()

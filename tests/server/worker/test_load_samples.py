"""What is looked at once a second: the backlog, and how late an HTTP worker is."""

import socket

import gevent.socket

from server.observability.metrics import REGISTRY
from server.worker.load_samples import LoadSamples
from tests.clock import Clock


def lag():
    name = "carfront_event_loop_lag_seconds"
    return [REGISTRY.get_sample_value(f"{name}_{x}") for x in ("count", "sum")]


def test_a_worker_is_late_by_what_is_more_than_a_second():
    clock = Clock()
    samples, before = LoadSamples(clock), lag()
    for passes in (5.0, 1.0, 1.25, 0.75):
        clock.now += passes
        samples.take(0, [])
    count, seconds = (after - was for after, was in zip(lag(), before, strict=True))
    assert (count, seconds) == (3, 0.25)


def test_connections_that_nobody_accepted_and_requests_in_flight_are_told():
    samples = LoadSamples()
    with gevent.socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        callers = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        samples.take(7, [listener])
        assert REGISTRY.get_sample_value("carfront_accept_backlog") == 3
        assert REGISTRY.get_sample_value("carfront_requests_in_flight") == 7
        for caller in callers:
            caller.close()


def test_a_unix_socket_has_no_backlog_that_is_told(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        LoadSamples().take(0, [listener])
    assert REGISTRY.get_sample_value("carfront_accept_backlog") == 0

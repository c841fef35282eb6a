"""Several servers share the work; one that is gone or full is left alone for a while."""

import io
import json
import threading

import numpy as np
import pytest

from carfront import BadRequest, Client, Unavailable, Unreachable
from carfront.datasets.servers_source import ServersSource
from carfront.errors import DataSetError
from tests.carfront.fakes import BROKEN, SHAPE, TRUNCATED, fake_server, images_of, problem
from tests.clock import Clock
from tests.patience import PATIENCE_S


def npy_file(images):
    """Return the answer of a server with so many images."""
    file = io.BytesIO()
    np.save(file, images_of(range(images)))
    return file.getvalue()


@pytest.fixture
def servers():
    with fake_server() as one, fake_server() as two:
        yield one, two


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def source_of(clock):
    """Make a source whose waiting moves the clock."""
    made = []

    def source_of(servers, **options):
        def wait(pause_s):
            clock.now += pause_s

        clients = [Client(server.url, retries=False) for server in servers]
        made.append(ServersSource(clients, clock=clock, wait=wait, **options))
        return made[-1]

    yield source_of
    for source in made:
        source.close()


def counts(servers):
    return [sum(path.startswith("/v1") for path, *_ in server.requests) for server in servers]


def test_lineage_is_what_the_server_tells(servers, clock, source_of):
    source = source_of(servers, truncation=0.5)
    line = source.lineage
    assert (line.model, line.version, line.plan, line.truncation) == ("tiny", "1", "cpu/f32", 0.5)
    assert (line.seed_rule, line.bundle) == (0, "")  # this server has no configuration to tell
    assert source.shape == SHAPE
    assert source.block == 1024


def test_a_server_that_breaks_leaves_its_request_to_another(servers, clock, source_of):
    source = source_of(servers)
    servers[0].faults += [BROKEN, TRUNCATED, problem(503, "full", Retry_After=100)]
    for first in range(0, 100, 10):
        seeds = range(first, first + 10)
        np.testing.assert_array_equal(source.draw(seeds), images_of(seeds))
        clock.now += 1.0
    assert counts(servers) == [4, 10]  # the first one has told its model, too


def test_servers_are_not_asked_before_they_said(servers, clock, source_of):
    source = source_of(servers)
    for server in servers:
        server.faults.append(problem(503, "full", Retry_After=40))
    source.draw(range(5))
    assert clock.now >= 40


def test_no_server_for_too_long_is_an_error(servers, clock, source_of):
    source = source_of(servers, patience_s=60.0)
    for server in servers:
        server.faults += [problem(503, "the engine is not ready")] * 1000
    with pytest.raises(Unavailable, match="not ready"):
        source.draw(range(5))
    assert 50 <= clock.now <= 60
    assert 10 < sum(counts(servers)) < 60


def test_servers_that_want_to_wait_for_too_long_are_not_waited_for(servers, clock, source_of):
    source = source_of(servers, patience_s=60.0)
    for server in servers:
        server.faults.append(problem(503, "full until tomorrow", Retry_After=80_000))
    with pytest.raises(Unavailable, match="full until tomorrow"):
        source.draw(range(5))
    assert clock.now < 60


@pytest.mark.parametrize(
    "fault",
    [
        problem(429, "slowly", Retry_After=7),
        problem(503, "full", Retry_After=7),
        (502, {"Retry-After": 7}, b"<html>bad gateway</html>"),
        (504, {"Retry-After": 7}, b"<html>gateway timeout</html>"),
        (200, {}, npy_file(5)[:-20]),
        (200, {}, npy_file(4)),
        TRUNCATED,
        BROKEN,
    ],
    ids=["429", "503", "502", "504", "cut file", "too few", "cut answer", "broken"],
)
def test_what_a_server_or_a_proxy_could_not_answer_is_asked_again(clock, source_of, fault):
    with fake_server() as server:
        source = source_of([server])
        server.faults += [fault, fault]
        np.testing.assert_array_equal(source.draw(range(5)), images_of(range(5)))
        assert counts([server]) == [4]
    if isinstance(fault, tuple) and fault[0] != 200:
        assert clock.now >= 14


def test_a_configuration_that_did_not_come_is_asked_for_again(clock, source_of):
    facts = {"parameters": {"seed_rule": {"string_value": "1"}, "bundle": {"string_value": "0a"}}}
    told = (200, {}, json.dumps(facts | {"max_batch_size": 64}).encode())
    with fake_server() as server:
        server.configs += [problem(503, "full", Retry_After=5), problem(504, "late"), told]
        source = source_of([server])
    assert (source.lineage.seed_rule, source.lineage.bundle, source.block) == (1, "0a", 64)
    assert clock.now >= 5


def test_nobody_there_at_the_start_is_an_error(clock):
    clients = [Client("http://127.0.0.1:9", retries=False)]
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        ServersSource(clients, patience_s=0.0)


def test_what_no_server_can_draw_is_refused_at_once(servers, clock, source_of):
    source = source_of(servers)
    servers[0].faults.append(problem(400, "class is 'dog'; wanted none"))
    with pytest.raises(BadRequest, match="dog"):
        source.draw(range(5))


def test_images_of_another_plan_do_not_get_in(servers, clock, source_of):
    source = source_of(servers)
    servers[0].plan = "openvino/bf16"
    with pytest.raises(DataSetError, match="by openvino/bf16; wanted tiny/1 by cpu/f32"):
        source.draw(range(5))


def test_who_waits_for_a_server_is_let_go_when_the_run_ends(servers):
    clients = [Client(server.url, retries=False) for server in servers]
    source = ServersSource(clients)
    for server in servers:
        server.faults.append(problem(503, "full", Retry_After=3600))
    caught = []

    def draw():
        try:
            source.draw(range(5))
        except DataSetError as error:
            caught.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    source.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()

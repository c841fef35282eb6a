"""A trial's requests are dealt among generators, and what an idle server answers is looked at."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from loadtests.answers import WrongAnswer
from loadtests.capacity.kinds import Kind
from loadtests.capacity.meter import FEWEST, MOST, Length, Meter, generators, look
from loadtests.capacity.slo import Slo
from loadtests.serving import Server
from tests.loadtests.fakes import SHAPE, fake_server
from tests.servers import PATIENCE_S

PATIENT = Slo(percentile=0.9, limit_ms=1000.0, refused=0.001)
NPY = Kind("npy", 16)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """How fast a server answers is measured, not tested."""
    monkeypatch.setattr("loadtests.capacity.meter.PATIENCE_S", PATIENCE_S)


def meter(url, pool, **changes):
    server = Server(url, 0, Path())
    terms = {
        "server": server,
        "kind": NPY,
        "at_rest": look(server, NPY),
        "slo": PATIENT,
        "length": Length(seconds=0.2, beyond=1),
        "generators": pool,
        "count": 2,
        "reads": False,
    }
    return Meter(**terms | changes)


def test_idle_server_is_known_by_its_answers():
    with fake_server() as url:
        at_rest = look(Server(url, 0, Path()), NPY)
    assert at_rest.model.shape == SHAPE
    assert at_rest.length == 128 + 16 * 32 * 32 * 3
    assert at_rest.latency_ms > 0


def test_idle_server_that_answers_wrong_is_not_measured():
    with fake_server("busy") as url, pytest.raises(WrongAnswer, match="503: No"):
        look(Server(url, 0, Path()), NPY)


def test_requests_are_dealt_among_generators_and_no_image_is_asked_for_twice():
    with fake_server() as url, ThreadPoolExecutor(2) as pool:
        made = meter(url, pool, count=3)._orders(200.0)
    assert [len(each.due_s) for each in made] == [17, 17, 16]
    due_s = np.sort(np.concatenate([each.due_s for each in made]))
    assert len(np.unique(due_s)) == 50
    assert due_s[-1] <= 50 / 200.0
    numbers = [n for each in made for n in range(each.first, each.first + len(each.due_s))]
    assert len(set(numbers)) == 50
    assert len({each.starts_s for each in made}) == 1


@pytest.mark.parametrize(
    ("rate", "limit_ms", "connections"),
    [(70.0, 100.0, FEWEST), (1000.0, 100.0, 200), (1e6, 100.0, MOST), (20.0, 10_000.0, 14)],
)
def test_connections_are_twice_the_requests_on_their_way_when_each_takes_the_limit(
    rate, limit_ms, connections
):
    slo = Slo(0.9, limit_ms, 0.001)
    with fake_server() as url, ThreadPoolExecutor(1) as pool:
        orders = meter(url, pool, slo=slo, count=2)._orders(rate)
    assert [each.connections for each in orders] == [connections // 2] * 2


def test_trial_adds_up_what_all_generators_saw():
    with fake_server() as url, ThreadPoolExecutor(2) as pool:
        trial = meter(url, pool).at(40.0)
    assert trial.statuses == {200: trial.requests}
    assert 5 <= trial.requests <= 13
    assert trial.compared >= 2
    assert 0 < trial.p50_ms <= trial.tail_ms
    assert trial.server_us is None


def test_wrong_answer_that_another_process_got_is_told():
    with (
        fake_server("unsteady") as url,
        generators(1) as pool,
        pytest.raises(WrongAnswer, match="npy:16: a second request gave other bytes"),
    ):
        meter(url, pool, count=1).at(40.0)

"""Prometheus scrapes a real server under load and under faults: each panel and alert shows them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlsplit

import pytest

from server.keys import digest_of
from tests.bundles import copy_version
from tests.chaos.faults import FAULTS, Victim, held, kill, order, spoil, stopped, switch
from tests.k8s.fault_panels import HANGS, NOWHERE, OTHERS, RESTARTS
from tests.k8s.prometheus import watching
from tests.k8s.test_alerts import NAMES
from tests.k8s.test_dashboard import PANELS
from tests.k8s.watched import ALL_OF_IT, ELSEWHERE, Watched, asking, post
from tests.servers import DRAIN, PYTHON, connected, until, victim

pytestmark = pytest.mark.servers

SETTINGS = {
    "CARFRONT_PROVIDER": "cuda",  # there is none: another serves in its place
    "CARFRONT_FALLBACK": "yes",
    "CARFRONT_READ_TIMEOUT_S": "1",
    "CARFRONT_MAX_QUEUE_ROWS": "4096",
}
QUERIES = {(panel["title"], query) for panel in PANELS for query in range(len(panel["targets"]))}
"""The titles of all panels, each with the numbers of its queries."""
EMPTY = {each for each in QUERIES if each[0] in ELSEWHERE}
EMPTY |= {("Refused bundles", 0), ("Engine restarts", 1)}
"""What has no value while all is well."""
FULL = QUERIES - EMPTY
STRIKES = {fault.name: fault.strike for fault in FAULTS}
HASTY = {
    "CARFRONT_PROVIDER": "cpu",
    "CARFRONT_BATCH_TIMEOUT_MS": "12000",
    "GUNICORN_CMD_ARGS": f"--timeout 20 {DRAIN}",
}
"""A server that soon replaces what hangs, and that does not even try for a GPU."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    keys = folder / "keys.txt"
    keys.write_text(
        f"alice user {digest_of(b'alice').hex()}\n"
        f"poor user {digest_of(b'poor').hex()} images_per_s=0.0001 burst=1\n"
    )
    environ = SETTINGS | {"CARFRONT_API_KEYS_FILE": str(keys)}
    (folder / "prometheus").mkdir()
    with (
        watching(folder / "prometheus") as prometheus,
        victim(PYTHON, folder, env=environ) as harmed,
    ):
        found = Watched(harmed, prometheus)
        prometheus.scrape({"a": urlsplit(harmed.server.url).netloc})
        until(lambda: found.shows("Engine up"))
        yield found


@pytest.fixture(scope="module")
def second(
    watched: Watched, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Victim, Callable[[], None]]]:
    """Another replica, the instance ``b``, which serves another version, and what ends it."""
    folder = tmp_path_factory.mktemp("second")
    copy_version(folder / "models", "2")
    with ExitStack() as stack:
        other = stack.enter_context(victim(PYTHON, folder, env=HASTY))
        servers = {"a": watched.victim.server, "b": other.server}
        watched.prometheus.scrape({name: urlsplit(x.url).netloc for name, x in servers.items()})
        yield other, stack.close


def test_every_fault_of_chaos_is_shown_or_it_is_said_why_not():
    names = [name for some in (RESTARTS, HANGS, OTHERS, NOWHERE) for name in some]
    assert sorted(names) == sorted(STRIKES)


def test_every_panel_shows_what_callers_do(watched: Watched):
    known = watched.series("http_server_requests_total")
    path, many = "/v1/images/7.png", {"n": 16, "seed": 1}
    tensor = {"name": "latents", "datatype": "FP32", "shape": [1, 100], "data": [0.5] * 100}
    asked = Counter(
        [
            *(watched.ask(path) for _ in range(60)),
            *(watched.ask("/v1/images", many) for _ in range(10)),
            *(watched.ask("/v1/images/cars.png") for _ in range(20)),
            *(watched.ask("/nowhere") for _ in range(20)),
            *(watched.ask(path, key="nobody") for _ in range(20)),
            *(watched.ask("/") for _ in range(5)),
            *(watched.ask("/v2/models/cars-dcgan/infer", {"inputs": [tensor]}) for _ in range(5)),
            *(watched.ask(path, key="poor") for _ in range(20)),
        ]
    )
    assert asked == {200: 81, 400: 20, 401: 20, 404: 20, 429: 19}
    counts = 'sum by (status) (http_server_requests_total{route!~"/(readyz|healthz|metrics)"}) > 0'
    wanted = {(str(status),): times for status, times in asked.items()}
    until(lambda: watched.prometheus.ask(counts) == wanted)
    panel = partial(watched.panel, window=ALL_OF_IT)
    until(lambda: all(panel(*each) for each in FULL))

    def rates_are_right() -> bool:
        rates, seconds = panel("Requests by status"), float(ALL_OF_IT.rstrip("s"))
        return set(rates) == set(wanted) and all(
            0.999 * times <= rates[status] * seconds <= 1.3 * times
            for status, times in wanted.items()
        )

    until(rates_are_right)  # Prometheus goes on beyond what it has seen: the less, the more that is
    for title, query in FULL:
        assert all(value >= 0 for value in panel(title, query).values())
    for title, query in EMPTY:
        assert panel(title, query) == {}, title
    assert watched.shows("Refused by key", "poor", "rate", window=ALL_OF_IT)
    until(lambda: watched.shows("Provider fallbacks", "cuda/f32"))
    until(lambda: panel("Failed requests") == {(): 0})
    assert watched.series("http_server_requests_total") == known


def test_killed_engines_are_told_by_their_cause(watched: Watched):
    """The alert wants two restarts within seconds, in which a slow machine may load no model."""

    def again() -> bool:
        before = watched.worth("Engine restarts", 0, "a")
        kill(watched.victim.engines)
        until(lambda: watched.rises("Engine restarts", 0, "a", before))
        return watched.fires("CarfrontEngineRestarts")

    for deaths in (1, 2):
        until(lambda: watched.shows("Engine up"))
        kill(watched.victim.engines)
        is_told = partial(watched.shows, "Engine restarts", "killed", query=1, above=deaths - 0.5)
        until(is_told)
    until(again)


def test_an_engine_that_does_not_come_back(watched: Watched):
    with held(watched.victim, "load"):
        until(lambda: watched.fires("CarfrontNoEngine", "CarfrontEngineDown"))
        until(lambda: watched.panel("Engines down") == {(): 1})
        until(lambda: set(watched.panel("Engine up").values()) == {0})
    until(lambda: watched.shows("Engine up"))


def test_a_full_queue(watched: Watched):
    with asking([lambda: watched.ask("/v1/images", {"n": 4096, "format": "npy"})] * 5):
        until(lambda: watched.fires("CarfrontQueueFull", "CarfrontErrorBudgetBurn"))
        assert watched.shows("Rejected")
        assert watched.shows("Requests by status", "503")
        assert watched.shows("Failed requests", above=0.001)
        assert watched.shows("Budget burn", above=14.4)
        assert watched.shows("Latency of errors and pages")


def test_late_requests_and_callers_that_hang_up(watched: Watched):
    def both() -> bool:
        watched.ask("/v1/images/7.png", X_Request_Timeout_Ms="1")
        with connected(watched.victim.server) as caller:
            caller.sendall(post({"n": 4096, "format": "npy"}))
        return watched.shows("Dropped", "deadline") and watched.shows("Dropped", "client_gone")

    until(both)
    until(lambda: watched.shows("Requests by status", "504"))


def test_a_caller_that_sends_half_a_request(watched: Watched):
    with connected(watched.victim.server) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\n")
        until(lambda: watched.shows("Connections ended", "slow_request"))


def test_an_engine_and_http_workers_that_stand_still(watched: Watched):
    def stand_still() -> bool:
        with ThreadPoolExecutor(1) as pool:
            engine, workers = watched.victim.engines, watched.victim.workers
            with stopped(engine):
                callers = pool.submit(watched.crowd, 20, "/v1/images/7.png")
                until(lambda: watched.shows("In flight", above=15))
            callers.result()
            with stopped(workers):
                time.sleep(1.5)  # for longer than they look after themselves
        return watched.fires("CarfrontLatencyBudgetBurn")

    until(stand_still)
    until(lambda: watched.shows("Latency p99", above=0.25))
    until(lambda: watched.shows("Latency of single images", query=2, above=0.25))
    until(lambda: watched.shows("Event loop lag", above=0.2))


def test_a_version_that_cannot_be_served(watched: Watched):
    spoil(watched.victim)
    until(lambda: watched.shows("Refused bundles", "99"))
    until(lambda: watched.fires("CarfrontModelRefused"))


def test_another_version(watched: Watched):
    switch(watched.victim)
    until(lambda: watched.shows("Models", "2"))
    switch(watched.victim)
    until(lambda: not watched.shows("Models", "2"))
    until(watched.victim.is_whole)
    assert watched.worth("Worker restarts", 0, "a") == 0  # a reload is none


@pytest.mark.parametrize("name", RESTARTS)
def test_a_process_that_is_killed(watched: Watched, name: str):
    before = watched.worth(*RESTARTS[name])
    STRIKES[name](watched.victim)
    until(lambda: watched.rises(*RESTARTS[name], before))
    until(watched.victim.is_whole)


def test_replicas_that_differ_and_one_that_draws_nearly_as_much_as_it_can(
    watched: Watched, second: tuple[Victim, Callable[[], None]]
):
    """The first replica has drawn nothing since its engine began, and the second only slowly."""
    other, _ = second
    slow = Watched(other, watched.prometheus)
    watched.ask("/v1/images/7.png")

    def is_told() -> bool:
        return watched.fires(
            "CarfrontPlansDiffer", "CarfrontModelsDiffer", "CarfrontNearCapacity"
        ) and watched.shows("Capacity in use", above=0.9, window="5s")

    def is_told_of_a_slow_engine() -> bool:
        """Whether it is told within a minute: an engine that was replaced is not slow any more."""
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(order, other, "slow")
            until(other.order.exists)
            slow.ask("/v1/images", {"n": 8, "format": "npy"})
            taken.result()
        deadline = time.monotonic() + 60
        with asking([lambda: slow.ask("/v1/images/7.png")] * 2):
            until(lambda: is_told() or time.monotonic() > deadline)
            return is_told()

    until(is_told_of_a_slow_engine)
    until(lambda: watched.panel("Not on all replicas") == {(): 2})
    until(lambda: watched.panel("Replicas") == {(): 2})


def test_what_hangs(watched: Watched, second: tuple[Victim, Callable[[], None]]):
    other, _ = second
    with asking([lambda: Watched(other, watched.prometheus).ask("/v1/images/7.png")]):
        for names in (["a batch hangs"], ["the engine hangs", "an HTTP worker hangs"]):
            before = {name: watched.worth(*HANGS[name]) for name in names}
            with ThreadPoolExecutor(len(names)) as pool:
                for strike in [pool.submit(STRIKES[name], other) for name in names]:
                    strike.result()
            for name in names:
                until(partial(watched.rises, *HANGS[name], before[name]))
            until(other.is_whole)


def test_a_replica_that_is_gone_and_then_all(
    watched: Watched, second: tuple[Victim, Callable[[], None]]
):
    _, end = second
    end()
    until(lambda: watched.fires("CarfrontTargetDown"))
    until(lambda: watched.panel("Engines down") == {(): 1})
    watched.prometheus.scrape({})
    until(lambda: "CarfrontAbsent" in watched.prometheus.firing())
    assert watched.panel("Replicas") == {(): 0}
    assert watched.fired | {"CarfrontAbsent"} == set(NAMES)

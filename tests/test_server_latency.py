"""The durations on the dashboard are those that callers see."""

import itertools
import json
import math
import re
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadtests import wrk
from loadtests.serving import Server
from loadtests.wrk import Load
from server.observability.metrics import SECONDS
from tests.exact_times import times_of
from tests.servers import PYTHON, get, serving

pytestmark = pytest.mark.servers
QUANTILES = (0.5, 0.9, 0.99)
RUNS = 30
"""How many runs of wrk are made at most until one agrees: a second long at first, and longer where
a machine is slow."""
REFUSED = """
function request()
  return wrk.format("GET", "/v1/images/cars.png")
end
"""
TELL = (
    "function done(summary, latency)\n"
    + "".join(f'  print("quantile " .. latency:percentile({100 * q:g}))\n' for q in QUANTILES)
    + "end\n"
)
"""Has wrk print its quantiles in microseconds: what it prints by itself has three digits."""
SEEDS = itertools.count()


def single() -> bytes:
    return b"GET /v1/images/%d.png HTTP/1.1\r\nHost: cars\r\n\r\n" % next(SEEDS)


def bulk() -> bytes:
    body = json.dumps({"n": 64, "seed": next(SEEDS), "format": "npy"}).encode()
    head = b"POST /v1/images HTTP/1.1\r\nHost: cars\r\nContent-Type: application/json\r\n"
    return b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


def refused() -> bytes:
    return b"GET /v1/images/cars.png HTTP/1.1\r\nHost: cars\r\n\r\n"


def buckets(url: str, kind: str) -> list[float]:
    """Return how many requests of a kind took at most each of the bounds, and any time."""
    counts = dict.fromkeys((*SECONDS, math.inf), 0.0)
    for family in text_string_to_metric_families(get(f"{url}/metrics").decode()):
        for sample in family.samples:
            is_bucket = sample.name == "http_server_request_duration_seconds_bucket"
            if is_bucket and sample.labels["kind"] == kind:
                counts[float(sample.labels["le"])] += sample.value
    return list(counts.values())


def slots(counts: Sequence[float]) -> list[int]:
    """Return the place of the bucket that each of ``QUANTILES`` lies in."""
    return [bisect_left(counts, quantile * counts[-1]) for quantile in QUANTILES]


def are_near(one: Sequence[int], other: Sequence[int]) -> bool:
    """Tell whether buckets are the same, or each beside the other."""
    return all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(PYTHON) as found:
        yield found


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of no arrivals")
@pytest.mark.parametrize(
    ("kind", "request_of", "callers", "answers", "runs"),
    [("single", single, 24, 800, 1), ("bulk", bulk, 6, 80, 5), ("error", refused, 48, 800, 1)],
)
def test_quantiles_are_those_that_callers_see_within_a_bucket(
    server: Server,
    kind: str,
    request_of: Callable[[], bytes],
    callers: int,
    answers: int,
    runs: int,
):
    """The last quantile of few answers is the slowest of them: among a few such runs one agrees."""
    found = []
    for _ in range(runs):
        before = buckets(server.url, kind)
        (seconds,) = map(sorted, times_of(server.url, request_of, callers, answers).values())
        counts = [x - y for x, y in zip(buckets(server.url, kind), before, strict=True)]
        assert counts[-1] == len(seconds) == answers
        seen = [bisect_left(SECONDS, seconds[math.ceil(q * answers) - 1]) for q in QUANTILES]
        found.append((slots(counts), seen))
        if are_near(*found[-1]):
            return
    pytest.fail(f"{kind}: the buckets of the quantiles, ours and the callers': {found}")


@pytest.mark.parametrize(
    ("kind", "load"),
    [
        ("single", Load("one PNG a request", 128, 1)),
        ("bulk", Load("64 images a request", 6, 64)),
        ("error", Load("an image that is no number", 800, 1)),
    ],
)
def test_quantiles_are_those_of_wrk_in_the_same_run_within_a_bucket(
    server: Server, kind: str, load: Load, tmp_path: Path
):
    """Among a few runs one agrees: wrk's times hold what it waits for a processor itself.

    So many callers ask at once that what they wait for the server is longer than that.
    """
    script = REFUSED if kind == "error" else load.script
    command = [*wrk.command_for(load, tmp_path, script + TELL), server.url]
    seen = []
    for number in range(RUNS):
        before = buckets(server.url, kind)
        lasting = f"-d{1 + number // 3}s"
        ended = subprocess.run([*command, lasting], check=True, capture_output=True, text=True)
        counts = [x - y for x, y in zip(buckets(server.url, kind), before, strict=True)]
        microseconds = re.findall(r"^quantile (\d+)", ended.stdout, re.MULTILINE)
        theirs = [bisect_left(SECONDS, float(each) / 1e6) for each in microseconds]
        seen.append((slots(counts), theirs))
        if are_near(*seen[-1]):
            return
    pytest.fail(f"{kind}: the buckets of the quantiles, ours and wrk's: {seen}")

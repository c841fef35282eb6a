"""What wrk prints is read right, and a run in which a request failed is refused."""

import sys

import pytest

from loadtests import wrk
from loadtests.bench import LOADS
from loadtests.readings import MeasureError, one


@pytest.mark.parametrize(
    ("text", "wanted"), [("950.00us", 0.95), ("1.20ms", 1.2), ("1.50s", 1500.0), ("1.00m", 60000.0)]
)
def test_latencies_are_read_in_every_unit_of_wrk(text, wanted):
    assert wrk.milliseconds(text) == pytest.approx(wanted)


@pytest.mark.parametrize("load", [*LOADS, LOADS[-1].beside])
def test_requests_are_lua_that_asks_for_as_many_images(load):
    assert f'"n": {load.images},' in load.script or "/v1/images/" in load.script
    assert "IMAGES" not in load.script


@pytest.mark.parametrize("line", ["Non-2xx or 3xx responses: 3", "Socket errors: connect 0"])
def test_failed_request_fails_the_bench(line):
    with pytest.raises(MeasureError, match="requests failed"):
        wrk.run([sys.executable, "-c", f"print('Requests/sec: 9'); print({line!r})"])


def test_the_share_within_a_deviation_is_not_taken_for_a_percentile():
    report = """
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.0ms    3.10ms  31.0ms   91.99%
    Req/Sec     0.9k      0.1k    1.4k    71.50%
  Latency Distribution
     50%   11.00ms
     75%   13.00ms
     90%   16.00ms
     99%   21.00ms
Requests/sec:   2650.00
"""
    assert wrk.milliseconds(one(wrk.PERCENTILE.format(50), report)) == pytest.approx(11)
    assert wrk.milliseconds(one(wrk.PERCENTILE.format(99), report)) == pytest.approx(21)

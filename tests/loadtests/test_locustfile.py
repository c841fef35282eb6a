"""Real Locust against a server that is right, or wrong in one way."""

import socket

import pytest

from tests.loadtests.fakes import fake_server
from tests.loadtests.locust_process import ANY_PACE, counts, ended, row, start, stopped

pytestmark = pytest.mark.servers
SINGLE, BATCH, BAD = "SingleImage", "Integrator", "BadClient"


def test_users_of_several_kinds_pass_with_a_right_server():
    with fake_server() as url:
        process = start("--host", url, "-u", "8", *ANY_PACE, SINGLE, BATCH)
        status, output = stopped(process, counts("single image, to compare", 2))
    assert status == 0, output
    for name in ("front page", "single image", "16 to 64 as npy"):
        assert row(output, name)[1:] == [0, 0, 0]


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("unsteady", SINGLE, "gave other bytes than before"),
        ("batches differ", BATCH, "differs from the PNG of its seed"),
        ("lenient", BAD, "status of a bad request is 200"),
    ],
)
def test_a_wrong_answer_is_a_failure_with_a_sentence_and_fails_the_run(fault, kind, says):
    with fake_server(fault) as url:
        process = start("--host", url, "-u", "8", kind)
        status, output = stopped(process, lambda line: says in line)
    assert status == 1, output
    report = output.partition("Exact times")[2]
    assert says in report
    assert "requests failed" in report


def test_refusals_are_counted_by_kind_whatever_seconds_they_say():
    with fake_server("busy") as url:
        process = start("--host", url, "-u", "8", SINGLE)
        status, output = stopped(process, counts("single image", 8))
    assert status == 1, output
    assert "MISSED, by the SLO 'default': " in output
    assert "were refused" in output
    good, refused, *others = row(output, "single image")
    assert (good, others) == (0, [0, 0])
    assert f"{refused} refused, single image: 503: No\n" in output


def test_honest_refusals_do_not_fail_a_run_that_means_to_overload(tmp_path):
    slo = tmp_path / "own.toml"
    slo.write_text("max_refused_share = 1")
    with fake_server("busy") as url:
        process = start("--host", url, "-u", "8", SINGLE, "--slo", str(slo))
        status, output = stopped(process, counts("single image", 8))
    assert status == 0, output


def test_a_slow_server_fails_by_the_limit_that_the_caller_chose():
    with fake_server("slow") as url:
        process = start("--host", url, "-u", "2", SINGLE, "--max-p95-ms", "40")
        status, output = stopped(process, counts("single image", 8))
    assert status == 1, output
    assert "above 40 ms" in output
    assert "requests failed" not in output


def test_failures_within_the_allowed_ratio_do_not_fail_the_run():
    with fake_server("unsteady") as url:
        process = start("--host", url, "-u", "8", SINGLE, "--max-failure-ratio", "1", *ANY_PACE)
        status, output = stopped(process, lambda line: "gave other bytes" in line)
    assert status == 0, output


def test_a_server_that_is_not_there_fails_the_run():
    process = start("--host", "http://127.0.0.1:9", SINGLE)  # the discard port: nobody listens
    status, output = stopped(process, counts("front page"))
    assert status == 1, output
    assert "100.000%" in output


@pytest.mark.parametrize(("wanted", "status"), [(0, 0), (1, 1)])
def test_a_ramp_ends_at_its_breaking_point_and_passes_if_that_is_far_enough(
    tmp_path, wanted, status
):
    shape, slo = tmp_path / "own-ramp.toml", tmp_path / "own.toml"
    shape.write_text(f"users = {[1] * 200}\nuntil_missed = true")
    slo.write_text(
        f"min_users = {wanted}\n"
        '[[latency]]\nrequest = "single image"\npercentile = 50\nmax_ms = 0.001'
    )
    args = ["-u", "2", "-t", "400s", "--shape", str(shape), "--slo", str(slo), SINGLE]
    with fake_server() as url:
        ended_with, output = ended(start("--host", url, *args))
    assert ended_with == status, output
    assert "THE BREAKING POINT: 0 users kept the SLO 'own', 2 missed it:" in output
    assert ("0 users kept it, 1 fewer than the 1 that have to" in output) == bool(wanted)


def test_a_request_that_is_never_answered_is_a_fault():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        status, output = ended(start("--host", url, "-t", "1s", "--stop-timeout", "1", SINGLE))
    assert status == 1, output
    assert "1 failed, front page: no answer 1 s after the end of the run" in output


def test_an_unknown_shape_ends_before_anything_is_asked():
    status, output = ended(start("--host", "http://127.0.0.1:9", "--shape", "wave"))
    assert status == 2
    assert "one of day, ramp, spike, steady, steps" in output
    assert "front page" not in output

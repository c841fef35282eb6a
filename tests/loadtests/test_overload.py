"""What counts as a fault under overload, and that the real server has none in a short run."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from loadtests import overload
from loadtests.callers import Phase
from loadtests.overload import Outcome, images_a_request, peak_of
from loadtests.readings import MeasureError
from tests.servers import NO_TIMEOUTS, PYTHON, SMALL_BATCHES

GOOD = Outcome(
    images_a_request=128,
    peak_images_per_s=1000.0,
    offered_images_per_s=10_000.0,
    images_per_s=960.0,
    shares=[0.96, 0.99, 0.8],
    deadline_s=1.0,
    batch_s=0.01,
    accepted_p99_s=1.01,
    refused_p99_s=0.01,
    statuses={200: 90, 503: 800, 504: 2},
)


def test_good_run_has_no_fault():
    assert GOOD.faults() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"shares": [0.94, 0.99, 0.8]}, "0.940 of the peak were delivered under overload"),
        ({"accepted_p99_s": 1.03}, "took 1.030 s or more, the limit is 1.020 s"),
        ({"statuses": {200: 9, 500: 1}}, "other answers than 200, 503 and 504"),
    ],
)
def test_fault_is_told_with_its_numbers(change, fault):
    (told,) = replace(GOOD, **change).faults()
    assert fault in told


@pytest.mark.parametrize(
    ("images_per_s", "deadline_s", "images"),
    [(11_000, 1.0, 2048), (560, 1.0, 144), (500, 1.0, 128), (550, 0.2, 32), (0.0, 1.0, 16)],
)
def test_request_is_a_quarter_of_what_is_drawn_within_the_deadline(
    images_per_s, deadline_s, images
):
    assert images_a_request(images_per_s, deadline_s) == images


def test_peak_without_an_image_is_told():
    async def closed_loop(seconds, _):
        return Phase(seconds)

    with pytest.raises(MeasureError, match="no image was delivered"):
        asyncio.run(peak_of(SimpleNamespace(closed_loop=closed_loop), 1.5))


@pytest.mark.servers
def test_real_server_refuses_what_it_cannot_draw_and_answers_the_rest(capsys, monkeypatch):
    monkeypatch.setattr(overload, "GOODPUT", 0.0)  # how fast is measured, not tested
    monkeypatch.setattr(overload, "BATCHES", 1e9)
    monkeypatch.setattr(overload, "WARM", 1)
    for name, value in (SMALL_BATCHES | NO_TIMEOUTS).items():
        monkeypatch.setenv(name, value)

    phases = ["--rounds", "2", "--deadline-ms", "1000", "--python", PYTHON]
    for seconds in (1.5, 15, 150):  # as many as this machine needs
        status = overload.main([*phases, f"--seconds={seconds}"])
        printed = capsys.readouterr()
        if "200: " in printed.out and "503: " in printed.out:
            break
        assert status == 0 or "no image was delivered" in printed.err, printed

    assert status == 0, printed
    assert "200: " in printed.out
    assert "503: " in printed.out
    assert "round 2 of 2" in printed.out

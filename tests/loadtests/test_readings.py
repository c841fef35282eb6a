"""What metrics tell is read right."""

import pytest

from loadtests.readings import MeasureError, Reading, one


def test_readings_are_subtracted_one_by_one():
    spent = Reading(3.0, 500, 40, 2.0) - Reading(1.0, 100, 10, 0.5)
    assert spent == Reading(2.0, 400, 30, 1.5)


def test_unexpected_output_is_shown():
    with pytest.raises(MeasureError, match=r"there is no .* in: hello"):
        one(r"Requests/sec:\s+(\S+)", "hello")

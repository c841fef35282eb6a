"""A chart is well-formed, says its units, and puts values where they belong."""

from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from training.evaluation.charts import (
    HEIGHT,
    LEFT,
    WIDTH,
    Axes,
    Series,
    bar_chart,
    histogram,
    line_chart,
    ticks,
)

AXES = Axes("a <title> & more", "epoch", "SWD x 1,000")


def texts(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter("text")]


def points(svg):
    lines = ElementTree.fromstring(svg).iter("polyline")
    return [[tuple(map(float, p.split(","))) for p in x.get("points").split()] for x in lines]


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (3, 97, [20, 40, 60, 80]),
        (-1.5, 1.5, [-1, 0, 1]),
        (0, 0.004, [0, 0.001, 0.002, 0.003, 0.004]),
    ],
)
def test_ticks_are_round_numbers(low, high, wanted):
    assert ticks(low, high) == pytest.approx(wanted)


@pytest.mark.parametrize("last", [1, 2, 3, 4, 9, 60])
def test_epochs_have_whole_numbers(last):
    epochs = [float(epoch) for epoch in range(1, last + 1)]
    axes = Axes("losses", "epoch", "loss", whole_x=True)
    svg = line_chart(axes, [Series("a", epochs, [0.0] * len(epochs))])
    root = ElementTree.fromstring(svg)
    below = [text.text for text in root.iter("text") if text.get("y") == f"{HEIGHT - 29:.1f}"]
    assert below
    assert all(number.isdecimal() for number in below)


def test_chart_says_title_axes_and_names():
    svg = line_chart(AXES, [Series("a & b", [1, 2, 3], [4, 5, 6])])
    assert {"epoch", "SWD x 1,000", "a & b"} <= set(texts(svg))
    assert ElementTree.fromstring(svg).get("aria-label") == "a <title> & more"


def test_higher_values_are_drawn_higher_and_later_ones_to_the_right():
    (line,) = points(line_chart(AXES, [Series("a", [1, 2, 3], [4, 6, 5])]))
    (x1, y1), (x2, y2), (x3, y3) = line
    assert LEFT <= x1 < x2 < x3 <= WIDTH
    assert 0 < y2 < y3 < y1 < HEIGHT


def test_two_lines_share_the_axes():
    one, other = points(line_chart(AXES, [Series("a", [1, 2], [1, 2]), Series("b", [2], [1])]))
    assert other[0] == (one[1][0], one[0][1])


def test_single_point_and_flat_line_can_be_drawn():
    assert points(line_chart(AXES, [Series("a", [1], [0])]))
    assert points(line_chart(AXES, [Series("a", [1, 2], [7, 7])]))


def test_histogram_outlines_hold_all_of_each_sample():
    rng = np.random.default_rng(0)
    samples = {"few": rng.normal(0, 1, 100), "many": rng.normal(0, 1, 9000)}
    few, many = points(histogram(AXES, samples))
    foot = few[0][1]

    def area(line):
        return sum((b[0] - a[0]) * (foot - a[1]) for a, b in pairwise(line))

    assert few[-1][1] == foot
    assert area(few) == pytest.approx(area(many), rel=0.02)


def test_bars_are_as_high_as_their_values():
    svg = bar_chart(AXES, {"32 pixels": [4, 1], "16 pixels": [8, 2]}, ("generated", "photographs"))
    bars = list(ElementTree.fromstring(svg).iter("rect"))[:4]
    heights = [float(bar.get("height")) for bar in bars]
    assert [height / heights[1] for height in heights] == pytest.approx([4, 1, 8, 2], rel=0.01)
    assert {"32 pixels", "16 pixels", "4.0", "8.0"} <= set(texts(svg))

"""Settings are recommended when they gain more than noise does, and in every round."""

import pytest

from loadtests.gains import DEFAULTS, Round, Verdict, words

ONE = (("CARFRONT_WORKERS", "1"),)
FOUR = (("CARFRONT_WORKERS", "4"),)
STREAMS = (("CARFRONT_STREAMS", "1"), ("CARFRONT_THREADS", "2"))


def verdict(*gains, defaults=((100.0, 104.0),) * 3, settings=ONE):
    rounds = [
        Round(pair, {settings: gain * (pair[0] * pair[1]) ** 0.5})
        for pair, gain in zip(defaults, gains, strict=True)
    ]
    return Verdict(rounds, precision=0.02)


def test_gain_is_over_the_mean_of_the_rounds_own_defaults():
    found = verdict(1.2, 0.6, 1.3, defaults=((100.0, 100.0), (400.0, 100.0), (50.0, 50.0)))
    assert found.gains(ONE) == pytest.approx([1.2, 0.6, 1.3])
    assert found.gain(ONE) == pytest.approx(1.2)


def test_noise_is_the_largest_difference_of_two_measurements_of_the_defaults():
    pairs = ((100.0, 101.0), (120.0, 100.0), (100.0, 110.0))
    assert verdict(1, 1, 1, defaults=pairs).noise == pytest.approx(0.2)


def test_noise_is_no_less_than_the_precision():
    assert verdict(1, 1, 1, defaults=((100.0, 100.0),) * 3).noise == 0.02


@pytest.mark.parametrize(
    ("gains", "best"),
    [
        ((1.05, 1.06, 1.2), ONE),
        ((1.03, 1.03, 1.03), DEFAULTS),  # within the noise of 4 %
        ((1.3, 1.3, 0.99), DEFAULTS),  # not in every round
        ((0.5, 0.5, 0.5), DEFAULTS),
    ],
)
def test_settings_are_best_when_they_gain_beyond_noise_in_every_round(gains, best):
    assert verdict(*gains).best() == best


def of_many(gains):
    """Return the verdict of one round with these gains, without noise but the precision's."""
    return Verdict([Round((100.0, 100.0), {x: 100.0 * y for x, y in gains.items()})], 0.02)


def test_what_gains_most_is_best():
    assert of_many({ONE: 1.1, FOUR: 1.3, STREAMS: 1.2}).best() == FOUR


def test_best_settings_of_each_variable_are_tried_together():
    found = of_many({FOUR: 1.3, STREAMS: 1.2, ONE: 1.1}).together()
    assert sorted(found) == sorted(FOUR + STREAMS)


@pytest.mark.parametrize("gains", [{ONE: 1.1, FOUR: 1.3, STREAMS: 1.01}, {ONE: 1.0, STREAMS: 0.9}])
def test_nothing_is_tried_together_where_one_variable_gains_or_none(gains):
    assert of_many(gains).together() == DEFAULTS


def test_settings_are_told_as_a_shell_takes_them():
    assert words(STREAMS) == "CARFRONT_STREAMS=1 CARFRONT_THREADS=2"
    assert words(DEFAULTS) == "defaults"

"""A load shape says how many users there are at which time."""

import pytest

from loadtests.load import shape
from loadtests.load.named_files import BadFile, names
from loadtests.load.shape import SHAPES, Shape


def users_over(load, users, parts):
    """Return the users at the beginning of each of ``parts`` equal parts of the time."""
    return [load.users_at(part / parts, users) for part in range(parts)]


def test_steps_last_equally_long():
    assert users_over(shape.load("steps"), 100, 8) == [25, 25, 50, 50, 75, 75, 100, 100]


def test_spike_comes_at_once_and_goes_at_once():
    spike = shape.load("spike")
    assert spike.users_at(0.3999, 200) == 20
    assert spike.users_at(0.4, 200) == spike.users_at(0.5999, 200) == 200
    assert spike.users_at(0.6, 200) == 20


def test_day_follows_lines_between_its_hours():
    day = shape.load("day")
    assert len(day.users) == 25  # both midnights
    assert day.users_at(20 / 24, 1000) == max(users_over(day, 1000, 240)) == 1000
    assert day.users_at(0, 1000) == day.users_at(1, 1000) == 250
    assert day.users_at(19.5 / 24, 1000) == 990  # half way from 980 to 1,000


def test_steady_load_has_all_users_all_the_time_also_without_an_end():
    assert {*users_over(shape.load("steady"), 32, 10), shape.load("steady").users_at(0, 32)} == {32}


def test_a_share_above_nothing_is_one_user_and_nothing_is_none():
    assert Shape("own", (0.01, 0)).users_at(0, 3) == 1
    assert Shape("own", (0.01, 0)).users_at(0.5, 3) == 0


def test_the_last_step_goes_on_until_the_load_has_ended():
    assert shape.load("spike").users_at(1.5, 10) == 1
    assert shape.load("day").users_at(1.5, 100) == 25


@pytest.mark.parametrize("name", names(SHAPES))
def test_every_shipped_shape_reaches_all_users(name):
    assert max(users_over(shape.load(name), 1000, 600)) == 1000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("users = []", r"users is \[\]; wanted a list of shares"),
        ("users = [1, 2]", "0 to 1"),
        ('users = ["all"]', "0 to 1"),
        ("users = 1", "users is 1; wanted list"),
        ("along_lines = true", "users is None"),
        ("users = [1]\nalong_lines = true", "lines want two shares"),
        ("users = [1]\nuntil_missed = 1", "until_missed is 1; wanted bool"),
        ("users = [1]\nrate = 3", "nobody knows rate"),
        ("users = [", "wanted a file of TOML, or one of day, ramp"),
    ],
)
def test_a_bad_file_is_refused_in_words(tmp_path, text, says):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(BadFile, match=says):
        shape.load(str(path))


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(BadFile, match="one of day, ramp, spike, steady, steps"):
        shape.load("wave")

"""A terminal sees a bar, a log file a line now and then."""

import io

import pytest

from training.data.progress import LINES, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    """A clock that the test moves."""

    def now():
        return now.time

    now.time = 0.0
    return now


def test_log_gets_ten_lines_with_the_rate_and_the_time_left(clock):
    out = io.StringIO()
    progress = Progress(1000, out, clock)
    for n in range(1000):
        clock.time = (n + 1) / 100
        progress.advance()
    progress.close()
    lines = out.getvalue().splitlines()
    assert len(lines) == LINES
    assert lines[0] == "prepared 100 of 1,000 photographs, 100/s, 9 s left"
    assert lines[-1] == "prepared 1,000 of 1,000 photographs, 100/s, 0 s left"


def test_terminal_gets_one_line_that_fills(clock):
    out = Terminal()
    progress = Progress(4, out, clock)
    for n in range(4):
        clock.time = n + 1
        progress.advance()
    progress.close()
    assert out.getvalue().count("\n") == 1
    assert "[###############               ] 2 of 4 photographs, 1/s, 2 s left" in out.getvalue()
    assert out.getvalue().endswith(
        "[##############################] 4 of 4 photographs, 1/s, 0 s left\033[K\n"
    )


def test_bar_that_was_interrupted_ends_its_line(clock):
    out = Terminal()
    progress = Progress(4, out, clock)
    clock.time = 1
    progress.advance()
    progress.close()
    assert out.getvalue().endswith("\n")

"""A volume that hangs costs its reader some seconds, and one thread."""

import threading

import pytest

from server.bundle import volume
from server.bundle.manifest import BundleError
from server.bundle.volume import MOST_S, SILENT_S
from tests.clock import Clock
from tests.patience import PATIENCE_S


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(volume, "LOOK_S", 0.001)


@pytest.fixture
def returns():
    """Have the reads that hang return in the end."""
    event = threading.Event()
    yield event
    event.set()
    volume._left.join(PATIENCE_S)


class Hurry(Clock):
    """A clock on which seconds pass with each look."""

    def __init__(self, step_s=1.0):
        super().__init__()
        self._step_s = step_s

    def __call__(self):
        self.now += self._step_s
        return self.now


def test_read_returns_what_it_read_or_raises_what_it_met(tmp_path):
    assert volume.read(tmp_path, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        volume.read(tmp_path, lambda: 1 / 0)


def test_read_that_never_returns_is_left_behind_and_told(tmp_path, returns):
    clock = Hurry()
    with pytest.raises(BundleError, match="cannot be read: there is no answer after") as error:
        volume.read(tmp_path, returns.wait, clock)
    assert not error.value.is_of_content
    assert SILENT_S <= clock.now < MOST_S


def test_there_is_one_thread_that_hangs_at_most_and_reads_go_on_after_it(tmp_path, returns):
    with pytest.raises(BundleError):
        volume.read(tmp_path, returns.wait, Hurry())
    threads = threading.active_count()
    for _ in range(3):
        with pytest.raises(BundleError, match="an earlier read still has no answer"):
            volume.read(tmp_path, lambda: pytest.fail("it was read"))
    assert threading.active_count() == threads
    returns.set()
    volume._left.join(PATIENCE_S)
    assert volume.read(tmp_path, lambda: 7) == 7


def test_read_that_makes_progress_has_more_time_but_not_for_ever(tmp_path, returns):
    def work():
        while not returns.is_set():
            sum(range(1000))

    clock = Hurry(step_s=SILENT_S / 4)
    with pytest.raises(BundleError, match="there is no answer after"):
        volume.read(tmp_path, work, clock)
    assert clock.now > MOST_S

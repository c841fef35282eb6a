"""What the thread of the lifecycle does next."""

import pytest

from server.engine import lifecycle_thread
from server.engine.lifecycle_thread import LifecycleThread
from server.ipc.messages import Ask

FLOATS = Ask(1, "floats", "tiny", "1")


class Steps:
    """Stand in for a lifecycle that has ``left`` bundles to finish."""

    def __init__(self, left):
        self.left = left
        self.done = []

    def do(self, ask, answer):
        self.done.append(ask.action)
        answer("")

    def look(self):
        self.done.append("look")

    def finish_next(self):
        self.left -= 1
        if self.left >= 0:
            self.done.append("finish")
        return self.left >= 0


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(lifecycle_thread, "LOOK_S", 0.001)


def test_all_is_finished_before_it_is_looked_at_the_repository_and_that_is_told_once():
    lifecycle, warm = Steps(2), []
    thread = LifecycleThread(lifecycle, lambda: warm.append(list(lifecycle.done)))
    for _ in range(5):
        thread.step()
    assert lifecycle.done == ["finish", "finish", "look", "look"]
    assert warm == [["finish", "finish"]]


def test_request_goes_before_what_is_left_to_finish():
    lifecycle, told = Steps(1), []
    thread = LifecycleThread(lifecycle, lambda: None)
    thread.ask(FLOATS, told.append)
    for _ in range(4):
        thread.step()
    assert lifecycle.done == ["floats", "finish", "look"]
    assert told == [""]

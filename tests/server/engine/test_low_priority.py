"""A load beside what is served has a low priority, and the threads that serve later have not."""

import os
import threading

import pytest

from server.engine import low_priority
from server.engine.low_priority import LOW, at_low_priority
from tests.patience import PATIENCE_S


def priority(thread=None):
    return os.getpriority(os.PRIO_PROCESS, thread or threading.get_native_id())


def test_work_has_low_priority_and_the_caller_its_own():
    usual = priority()
    assert at_low_priority(priority, threads_a_stream=1) == LOW
    assert priority() == usual


def test_error_of_the_work_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        at_low_priority(lambda: 1 / 0, threads_a_stream=1)


@pytest.mark.parametrize("permitted", [True, False])
def test_threads_that_the_work_starts_serve_with_the_usual_priority(monkeypatch, permitted):
    if not permitted:
        monkeypatch.setattr(low_priority, "_may_raise", lambda usual: False)
    elif not low_priority._may_raise(priority()):
        pytest.skip("this process may not raise a priority")
    end, started = threading.Event(), threading.Event()
    ids = []

    def serve():
        ids.append(threading.get_native_id())
        started.set()
        end.wait(PATIENCE_S)

    thread = threading.Thread(target=serve)

    def work():
        thread.start()
        started.wait(PATIENCE_S)
        return priority()

    usual = priority()
    assert at_low_priority(work, threads_a_stream=4) == (LOW if permitted else usual)
    assert priority(ids[0]) == usual
    end.set()
    thread.join()

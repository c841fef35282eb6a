"""Loading beside a model that serves: with low priority, and none of it left behind."""

import os
import threading

import pytest

from server.engine import loader
from server.engine.loader import LOW, politely


def priority(thread=None):
    return os.getpriority(os.PRIO_PROCESS, thread or threading.get_native_id())


def test_work_has_low_priority_and_the_caller_its_own():
    usual = priority()
    assert politely(priority, threads_a_stream=1) == LOW
    assert priority() == usual


def test_error_of_the_work_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        politely(lambda: 1 / 0, threads_a_stream=1)


@pytest.mark.parametrize("permitted", [True, False])
def test_threads_that_the_work_starts_serve_with_the_usual_priority(monkeypatch, permitted):
    if not permitted:
        monkeypatch.setattr(loader, "_may_raise", lambda usual: False)
    elif not loader._may_raise(priority()):
        pytest.skip("this process may not raise a priority")
    end, started = threading.Event(), threading.Event()
    ids = []

    def serve():
        ids.append(threading.get_native_id())
        started.set()
        end.wait(10)

    thread = threading.Thread(target=serve)

    def work():
        thread.start()
        started.wait(10)
        return priority()

    usual = priority()
    assert politely(work, threads_a_stream=4) == (LOW if permitted else usual)
    assert priority(ids[0]) == usual
    end.set()
    thread.join()

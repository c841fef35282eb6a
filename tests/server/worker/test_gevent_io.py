"""gevent's event loop, where it differs from what its names promise."""

import gevent
import pytest

from server.worker.gevent_io import GeventLoop


@pytest.fixture
def loop():
    return GeventLoop()


def test_what_is_periodic_is_called_until_it_is_stopped(loop):
    calls, woken = [], loop.waiter()

    def callback():
        calls.append(1)
        if len(calls) == 3:
            loop.call_soon(woken.wake, None)

    stop = loop.call_periodically(0, callback)
    woken.wait()
    stop()
    after = len(calls)
    for _ in range(5):
        gevent.sleep(0)
    assert len(calls) == after


def test_task_that_is_about_to_wake_as_it_is_stopped_calls_nothing(loop, monkeypatch):
    """gevent kills at the next turn of its loop; until then the task may have its turn."""
    calls = []
    monkeypatch.setattr(gevent, "kill", lambda task: None)
    stop = loop.call_periodically(0, lambda: calls.append(1))
    gevent.sleep(0)
    stop()
    after = len(calls)
    for _ in range(5):
        gevent.sleep(0)
    assert len(calls) == after > 0


def test_timer_that_is_stopped_wakes_nobody_and_one_that_is_not_does(loop):
    woken = []
    waiter = loop.waiter()
    stop = loop.call_later(0, woken.append, "stopped")
    stop()
    loop.call_later(0, woken.append, "first")
    loop.call_later(0.001, waiter.wake, "second")
    assert waiter.wait() == "second"
    assert woken == ["first"]


def test_value_that_is_there_before_anybody_waits_is_not_waited_for(loop):
    waiter = loop.waiter()
    waiter.wake("value")
    assert waiter.wait() == "value"


def test_what_a_thread_raises_is_raised_to_its_caller_and_not_printed(loop, capfd):
    with pytest.raises(ZeroDivisionError):
        loop.in_thread(lambda: 1 // 0)
    assert loop.in_thread(max, 3, 4) == 4
    assert capfd.readouterr() == ("", "")


def test_what_a_greenlet_raises_is_logged_without_its_arguments(loop, caplog, capfd):
    token = "s3cret"
    gevent.spawn(lambda _: 1 // 0, token).join()
    loop.call_soon(lambda: 1 // 0)
    gevent.sleep(0)
    assert [x.exc_info[0] for x in caplog.records] == [ZeroDivisionError] * 2
    assert "s3cret" not in caplog.text
    assert capfd.readouterr() == ("", "")

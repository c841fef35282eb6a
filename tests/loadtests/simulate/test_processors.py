"""Threads share the processors, and one thread does one piece of work after the other."""

import pytest
import simpy

from loadtests.simulate.processors import Processors, Thread


def ends(env, events):
    """Return when each event happened, once all have."""
    found = {}
    for number, event in enumerate(events):
        event.callbacks.append(lambda _, number=number: found.setdefault(number, env.now))
    env.run()
    return [found[number] for number in range(len(events))]


def test_as_many_pieces_as_processors_run_at_full_speed():
    env = simpy.Environment()
    processors = Processors(env, 2)
    assert ends(env, [processors.run(1), processors.run(2)]) == pytest.approx([1, 2])
    assert processors.busy_s == pytest.approx(3)


def test_more_pieces_share_the_processors_until_one_ends():
    env = simpy.Environment()
    processors = Processors(env, 2)
    found = ends(env, [processors.run(1), processors.run(1), processors.run(2)])
    assert found == pytest.approx([1.5, 1.5, 2.5])
    assert processors.busy_s == pytest.approx(4)


def test_thread_does_one_piece_after_the_other():
    env = simpy.Environment()
    thread = Thread(env, Processors(env, 2))
    pieces = [env.process(thread.run(1)), env.process(thread.run(2))]
    assert ends(env, pieces) == pytest.approx([1, 3])
    assert thread.busy_s == 3

"""The generator tells what it took itself, and when that was the limit."""

from array import array

from loadtests.load import generator
from loadtests.load.generator import LIMIT, LOOK_S, GeneratorLoad, told, watch
from loadtests.load.record import Record


def record_of(time_ms):
    record = Record()
    record.add("single image", time_ms, None)
    return record


def load_of(share, late_ms=0.1):
    return GeneratorLoad(10 * share, 10, share, array("d", [late_ms] * 5))


class Machine:
    """A clock and a processor that go on while somebody sleeps."""

    def __init__(self, late_s, share):
        self.now, self.used, self.late_s, self.share = 100.0, 7.0, late_s, share

    def sleep(self, seconds):
        self.now += seconds + self.late_s
        self.used += (seconds + self.late_s) * self.share


def watched(machine, seconds):
    load, end = GeneratorLoad(), machine.now + seconds
    clocks = (machine.sleep, lambda: machine.now, lambda: machine.used)
    watch(lambda: load, *clocks, lambda: machine.now >= end)
    return load


def test_processor_time_is_that_of_the_process_over_the_whole_run():
    load = watched(Machine(late_s=0, share=0.4), 5)
    assert round(load.share, 6) == round(load.busiest, 6) == 0.4


def test_the_busiest_second_is_kept():
    machine = Machine(late_s=0, share=0.2)
    load = watched(machine, 1)
    machine.share = 0.8
    load.merge(watched(machine, 1))
    assert round(load.busiest, 6) == 0.8
    assert round(load.share, 6) == 0.5


def test_a_loop_that_resumes_late_is_seen():
    load = watched(Machine(late_s=0.03, share=0), 2)
    assert {round(late_ms, 6) for late_ms in load.late_ms} == {30}
    assert load.late_ms


def test_a_generator_with_room_is_told_and_is_no_limit():
    (line,) = told({"a": load_of(0.3), "b": load_of(0.5)}, record_of(8.0))
    assert "2 processes with 0.80 of" in line
    assert "the busiest 0.50" in line


def test_a_process_at_the_end_of_its_processor_was_the_limit_however_idle_the_others_are():
    _, last = told({"a": load_of(0.3), "b": load_of(0.95)}, record_of(8.0))
    assert last.startswith(LIMIT)
    assert "0.95" in last
    assert "--processes" in last


def test_a_loop_that_is_as_late_as_answers_are_was_the_limit():
    _, last = told({"a": load_of(0.3, late_ms=4.0)}, record_of(8.0))
    assert last.startswith(LIMIT)
    assert len(told({"a": load_of(0.3, late_ms=3.9)}, record_of(8.0))) == 1


def test_a_run_that_was_too_short_says_so():
    assert "less than a second" in told({}, Record())[0]


def test_loads_pass_through_messages():
    load = load_of(0.3)
    assert GeneratorLoad.unpacked(load.packed()) == load
    assert generator.PER_SECOND * LOOK_S == 1

"""What is told of the cost of scrapes and single images."""

import os
import subprocess
import sys

from loadtests import cost


def test_processor_time_is_that_of_the_processes_alone():
    program = "input()\nfor _ in range(10**7): pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as busy:

        def work() -> None:
            busy.stdin.write(b"\n")
            busy.stdin.flush()
            busy.stdout.readline()

        assert cost._spent([busy.pid], work) > 0.03
        assert cost._spent([busy.pid], lambda: sum(range(10**7))) < 0.03
        busy.communicate(b"\n")


def test_medians_are_told_with_what_they_are_of():
    rounds = [{"scrape_ms": ms, "image_us": 100.0} for ms in (1.0, 9.0, 2.0)]
    assert cost._told(cost._medians(rounds)) == "2.00 ms a scrape, 100.00 us a single image"
    assert cost._medians(rounds[:1])["scrape_ms"] == 1.0
    assert os.sysconf("SC_CLK_TCK") == cost.TICKS

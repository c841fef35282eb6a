"""Drives Locust along a load shape, and ends the run when the last answers are in."""

import math
from typing import Any

from locust import LoadTestShape
from locust.runners import MasterRunner

from loadtests.load.collector import Collector
from loadtests.load.ramp import Ramp
from loadtests.load.shape import Shape

PER_S = 100
"""The number of users that begin or end a second: the most of which Locust does not warn."""


class Driver(LoadTestShape):
    """Locust's way to be told how many users there are to be, once a second."""

    use_common_options = True
    """Whether the shape reads --users and --run-time; Locust warns of them otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = Shape("steady", (1,))
        self.ramp: Ramp | None = None
        self.collector = Collector()
        self._is_stopped = False
        self._is_ending = False

    def stop(self) -> None:
        """End the run as if the time were up; one that has not begun ends at once.

        Locust by itself dies of SIGTERM while a shape drives it, and raises what a Ctrl-C means in
        whatever greenlet runs at that moment.
        """
        if self.runner.shape_greenlet is None:
            raise KeyboardInterrupt
        self._is_stopped = True

    def reset_time(self) -> None:
        """Begin anew, as Locust's web page may."""
        super().reset_time()
        self._is_stopped = self._is_ending = False

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there are to be, and how fast they come; None ends the run.

        When the time is up, users finish what they are at, and all workers of a distributed run
        report what they had: Locust by itself waits half a second for that.
        """
        if self._is_ending:
            return None if self._is_over() else (0, PER_S)
        options: Any = self.runner.environment.parsed_options
        time = self.get_run_time() / (options.run_time or math.inf)
        users = self.shape.users_at(time, options.num_users or 1)
        is_broken = self.ramp is not None and self.ramp.is_broken(time, users)
        if time < 1 and not is_broken and not self._is_stopped:
            return users, PER_S
        self._is_ending = True
        self.collector.idle.clear()
        return 0, PER_S

    def _is_over(self) -> bool:
        if not isinstance(self.runner, MasterRunner):
            return not self.runner.user_count
        missing = {each.id for each in self.runner.clients.missing}
        return {each.id for each in self.runner.clients.all} - missing <= self.collector.idle

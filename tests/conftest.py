"""What holds for all tests."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TENSORFLOW = ("training", "export", "gpu")
"""Folders whose tests import TensorFlow: that takes seconds, so one process runs all of them."""

# Where a shell starts the tests in the background, Ctrl-C is ignored by them, and so it would be by
# every program that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is up to the machine and what else it does.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell which tests run in one process, where pytest-xdist has several.

    All servers of tests are in one: they are started one after the other, and no server has to
    share the machine with another that is killed, soaked or overloaded.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_process_of(item)))


def _process_of(item: pytest.Item) -> str:
    """Return a name that all tests share which are to run in the same process."""
    place = item.path.relative_to(Path(__file__).parent)
    if item.get_closest_marker("servers"):
        return "servers"
    return "tensorflow" if place.parts[0] in TENSORFLOW else place.as_posix()

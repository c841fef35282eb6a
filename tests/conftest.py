"""What holds for all tests."""

import signal

import pytest
from hypothesis import HealthCheck, settings

import export  # noqa: F401  before tests import TensorFlow, for which it sets something

# Where a shell starts the tests in the background, Ctrl-C is ignored by them, and so it would be by
# every program that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is up to the machine and what else it does.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Return who decides which process runs what, where there are several."""
    from tests.two_at_a_time import TwoAtATime

    return TwoAtATime(config, log)

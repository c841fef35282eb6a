"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# Where a shell starts the tests in the background, Ctrl-C is ignored by them, and so it would be by
# every program that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is up to the machine and what else it does.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

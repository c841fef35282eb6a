"""What holds for all tests."""

import signal

# Where a shell starts the tests in the background, Ctrl-C is ignored by them, and so it would be by
# every program that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

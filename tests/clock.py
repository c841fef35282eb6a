"""Time for tests: it passes when it is told to."""


class Clock:
    """Returns ``now``, in seconds."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

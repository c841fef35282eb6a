"""Trials as they might have been."""

from loadtests.capacity.trial import Trial

GOOD = Trial(
    rate=100.0, requests=1000, p50_ms=5.0, tail_ms=10.0, refused=0.0, statuses={200: 1000},
    late_ms=0.1, busy=0.1, generator_us=50.0, compared=8,
)  # fmt: skip

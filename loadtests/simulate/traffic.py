"""Loads over time, in multiples of what one replica can serve."""

import math
from collections.abc import Callable
from dataclasses import dataclass

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Traffic:
    """A load that changes with time."""

    name: str
    seconds: float
    at: Callable[[float], float]
    """Returns the load at a time in seconds: 1.0 is as much as one replica can serve."""
    every_s: float = 5.0
    """The seconds for which the load is taken to stay."""


def _restless(at: float) -> float:
    """Return the factor by which a load is above or below its course, as callers come in waves."""
    slow, quick = math.sin(2 * math.pi * at / (7 * MINUTE)), math.sin(2 * math.pi * at / 97)
    return 1 + 0.1 * slow + 0.05 * quick


def _steps(at: float) -> float:
    """Return a load that grows by half every ten minutes, and then falls faster."""
    levels = (1.0, 1.5, 2.2, 3.3, 5.0, 2.5, 1.0)
    return levels[min(len(levels) - 1, int(at // (10 * MINUTE)))] * _restless(at)


def _spike(at: float) -> float:
    return (4.0 if 10 * MINUTE <= at < 15 * MINUTE else 1.0) * _restless(at)


def _day(at: float) -> float:
    """Return the load of a day: a quiet night, a morning that rises, and a higher evening."""
    hour = at / HOUR
    base = 2.6 - 2.2 * math.cos((hour - 4) / 24 * 2 * math.pi)
    evening = 1.6 * math.exp(-(((hour - 20) / 1.8) ** 2))
    return (base + evening) * _restless(at)


STEPS = Traffic("steps", 70 * MINUTE, _steps)
SPIKE = Traffic("spike", 45 * MINUTE, _spike)
DAY = Traffic("day", 24 * HOUR, _day, every_s=15.0)
ALL = (STEPS, SPIKE, DAY)

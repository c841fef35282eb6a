"""When requests are due: a Poisson process, as of very many callers who know nothing of each other.

Arrivals at a fixed pace would spare the server the moments in which several callers come at once,
and callers who wait for their answers would spare it those in which it is slow.
"""

import math

import numpy as np
from numpy.typing import NDArray

WARM = 0.2
"""The share of a trial's time, at its begin, whose requests do not count."""


def poisson(rate: float, count: int, numbers: np.random.Generator) -> NDArray[np.float64]:
    """Return when ``count`` requests are due: float64 [count], seconds from 0 on, in order.

    It is a Poisson process of ``rate`` a second of which ``count`` arrivals fall into the first
    ``count / rate`` seconds: given their number, arrivals are independent and uniform. So every
    trial at a rate has this rate exactly; with exponential gaps, that of 1,000 requests would be
    off by 3 % in every third trial.
    """
    return np.sort(numbers.uniform(0, count / rate, count))


def requests_needed(rate: float, seconds: float, percentile: float, beyond: int) -> int:
    """Return how many requests a trial has to make at ``rate`` a second.

    After the warm-up, the trial lasts ``seconds`` at least, and ``beyond`` of its requests or more
    lie beyond the ``percentile`` (0.99): a percentile that hangs on one or two requests says
    nothing of the next trial's.
    """
    counted = max(seconds * rate, beyond / (1 - percentile))
    return math.ceil(round(counted / (1 - WARM), 6))

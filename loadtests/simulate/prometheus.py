"""What Prometheus makes of the samples that it scrapes: ``rate`` and ``histogram_quantile``.

Source: Prometheus's documentation of its query functions.
"""

import itertools
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Sample = tuple[float, NDArray[np.float64]]
"""The time of a scrape, and the values of a pod's counters then."""

NEAR = 1.1
"""A series is taken to reach to the window's edge if that is no further away than so many of its
intervals; else it is taken to reach half an interval beyond its samples."""


class Series:
    """The counters of one pod, as they were scraped; none is reset."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._samples: deque[Sample] = deque()

    def append(self, now: float, values: NDArray[np.float64]) -> None:
        """Keep the ``values`` that were scraped ``now``."""
        self._samples.append((now, values))
        while self._samples[0][0] < now - self._kept_s:
            self._samples.popleft()

    def rate(self, now: float, window_s: float) -> NDArray[np.float64] | None:
        """Return the counters' growth a second over ``window_s``; None of fewer than two samples.

        What lies between the samples and the window's edges is extrapolated. The window's first
        moment is not part of it, as since Prometheus 3.
        """
        found = [x for x in self._samples if now - window_s < x[0] <= now]
        if len(found) < 2:
            return None
        (first, before), (last, after) = found[0], found[-1]
        sampled = last - first
        interval = sampled / (len(found) - 1)
        start, end = first - (now - window_s), now - last
        if start >= NEAR * interval:
            start = interval / 2
        if end >= NEAR * interval:
            end = interval / 2
        growth = after - before
        # A counter is not taken back beyond the time at which it would have been zero.
        zero_s = sampled * before / np.where(growth > 0, growth, np.inf)
        reach = np.where(growth > 0, np.minimum(start, zero_s), start)
        return np.asarray(growth * (sampled + reach + end) / sampled / window_s)


def histogram_quantile(share: float, bounds: Sequence[float], rates: NDArray[np.float64]) -> float:
    """Return the quantile of a histogram; NaN if it is empty.

    ``rates`` has that of each bucket by itself, those above the last of ``bounds`` included.
    """
    total = list(itertools.accumulate(rates))
    if not total[-1]:
        return math.nan
    rank = share * total[-1]
    bucket = bisect_left(total, rank)
    if bucket >= len(bounds):
        return bounds[-1]
    lower, below = (bounds[bucket - 1], total[bucket - 1]) if bucket else (0.0, 0.0)
    return float(lower + (bounds[bucket] - lower) * (rank - below) / rates[bucket])

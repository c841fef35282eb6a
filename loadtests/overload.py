"""Offers a server ten times the images that it can draw: does it still deliver as many?

The peak is measured with callers that ask for many images, and again as soon as they have them. The
overload offers ten times as many images at a fixed pace, whatever the answers (an open loop), in
requests with a deadline. The images in a request depend on the machine: they are a quarter of the
images that it draws within the deadline, at most 2,048. Peak and overload take turns, and each
overload is compared with the peaks before and after it: a machine that is slow for a while is slow
for all three. The server has to refuse at once, at next to no cost, the requests that it cannot
serve in time: 95 % of the peak or more are still delivered (the median of the rounds), and accepted
requests are answered within their deadline and two batches.
"""

import argparse
import asyncio
import sys
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from loadtests.callers import Callers, Phase
from loadtests.percentile import percentile
from loadtests.readings import MeasureError, Reading, save
from loadtests.serving import Server, ServerFailed, serving

FEWEST, MOST = 16, 2048
"""The limits of the images in a request: asking and refusing should cost little beside drawing."""
TIMES = 10
"""The factor by which the offered images exceed the peak."""
CALLERS = 6
"""The number of callers that ask without pause while the peak is measured."""
WARM = 3
"""The number of short closed loops before the first one that counts, in which both sides learn the
rate: larger requests are drawn faster."""
GOODPUT = 0.95
"""The smallest share of the peak that has to be delivered."""
BATCHES = 2
"""The number of batches after its deadline within which an accepted request must be answered."""


@dataclass(frozen=True)
class Outcome:
    """The results of the run: percentiles and statuses of all requests, else medians of rounds."""

    images_a_request: int
    peak_images_per_s: float
    offered_images_per_s: float
    images_per_s: float
    shares: list[float]
    """The share of each round: the rate under overload over the mean of the peaks around it."""
    deadline_s: float
    batch_s: float
    """The average seconds of a batch under overload."""
    accepted_p99_s: float
    refused_p99_s: float
    statuses: dict[int, int]

    @property
    def share(self) -> float:
        """The share of the peak that was delivered under overload."""
        return median(self.shares)

    def faults(self) -> list[str]:
        """Return a text for each fault; the list is empty if the server did as it should."""
        found = []
        if self.share < GOODPUT:
            found.append(
                f"{self.share:.3f} of the peak were delivered under overload, wanted {GOODPUT}"
            )
        limit = self.deadline_s + BATCHES * self.batch_s
        if self.accepted_p99_s > limit:
            found.append(
                f"one accepted request in a hundred took {self.accepted_p99_s:.3f} s or more, "
                f"the limit is {limit:.3f} s"
            )
        if set(self.statuses) - {200, 503, 504}:
            found.append(f"other answers than 200, 503 and 504: {self.statuses}")
        return found


def main(argv: list[str] | None = None) -> int:
    """Run the overload as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.overload", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--seconds", type=float, default=10, help="seconds of each phase (10)")
    parser.add_argument("--deadline-ms", type=int, default=1000, help="of each request (1000)")
    parser.add_argument("--python", default=sys.executable, help="the serving interpreter")
    parser.add_argument("--save", type=Path, help="write the result there as JSON")
    args = parser.parse_args(argv)
    try:
        with serving(args.python) as server:
            outcome = asyncio.run(
                overload(server, args.rounds, args.seconds, args.deadline_ms / 1000)
            )
    except (MeasureError, ServerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(
        f"peak {outcome.peak_images_per_s:,.0f} images/s, "
        f"{outcome.images_a_request:,} a request; "
        f"offered {outcome.offered_images_per_s:,.0f}, "
        f"delivered {outcome.images_per_s:,.0f}, {outcome.share:.3f} of the peak "
        f"({', '.join(f'{share:.3f}' for share in outcome.shares)})\n"
        f"accepted: 99 % within {outcome.accepted_p99_s:.3f} s; "
        f"refused: 99 % within {outcome.refused_p99_s:.3f} s; {outcome.statuses}"
    )
    faults = outcome.faults()
    if args.save:
        command = (
            f"python -m loadtests.overload --rounds {args.rounds} --seconds {args.seconds:g} "
            f"--deadline-ms {args.deadline_ms}"
        )
        facts = {"share": outcome.share, **asdict(outcome), "faults": faults}
        save(args.save, command, facts)
    for fault in faults:
        print(f"fault: {fault}")
    return 1 if faults else 0


async def overload(server: Server, rounds: int, seconds: float, deadline_s: float) -> Outcome:
    """Measure the peak of ``server``, and its rate when ten times the peak is offered.

    Raises:
        MeasureError: no image was delivered while a peak was measured.
    """
    peaks: list[Phase] = []
    overloads: list[Phase] = []
    batches_s: list[float] = []
    with closing(Callers(server, FEWEST)) as callers:
        for _ in range(WARM):  # the server and this program learn the server's rate
            warm = await callers.closed_loop(2.0, CALLERS)
            callers.images = images_a_request(warm.images_per_s, deadline_s)
        peaks.append(await peak_of(callers, seconds))
        for number in range(1, rounds + 1):
            pace = TIMES * peaks[-1].images_per_s / callers.images
            before = Reading.of(server)
            over = await callers.open_loop(seconds, pace, deadline_s, first=number << 40)
            spent = Reading.of(server) - before
            overloads.append(over)
            batches_s.append(spent.inference_s / max(spent.batches, 1))
            peaks.append(await peak_of(callers, seconds))
            print(f"round {number} of {rounds}: {over.images_per_s:,.0f} images/s", flush=True)
    around = [(a.images_per_s + b.images_per_s) / 2 for a, b in pairwise(peaks)]
    peak = median(around)
    return Outcome(
        images_a_request=callers.images,
        peak_images_per_s=peak,
        offered_images_per_s=TIMES * peak,
        images_per_s=median(over.images_per_s for over in overloads),
        shares=[over.images_per_s / top for over, top in zip(overloads, around, strict=True)],
        deadline_s=deadline_s,
        batch_s=median(batches_s),
        accepted_p99_s=percentile([s for over in overloads for s in over.accepted_s], 99),
        refused_p99_s=percentile([s for over in overloads for s in over.refused_s], 99),
        statuses=dict(sum((over.statuses for over in overloads), Counter())),
    )


async def peak_of(callers: Callers, seconds: float) -> Phase:
    """Return the answers to callers that ask without pause.

    Raises:
        MeasureError: no image was delivered, so there is no rate to compare another one with.
    """
    phase = await callers.closed_loop(seconds, CALLERS)
    if not phase.delivered:
        raise MeasureError(f"no image was delivered in {seconds:g} s without overload")
    return phase


def images_a_request(images_per_s: float, deadline_s: float) -> int:
    """Return about a quarter of the images drawn within the deadline, a multiple of ``FEWEST``."""
    quarter = round(images_per_s * deadline_s / 4 / FEWEST) * FEWEST
    return max(FEWEST, min(MOST, quarter))


if __name__ == "__main__":
    sys.exit(main())

"""Offers a server ten times what it can draw: does it still deliver what it could?

The peak: callers that ask for many images, and again as soon as they have them. The overload:
requests at a fixed pace, whatever the answers (an open loop), for ten times as many images, each
with a deadline. How many images a request asks for is up to the machine: a quarter of what it draws
within the deadline, 2,048 at most. Peak and overload take turns, and each overload is held against
the peaks before and after it: a machine that is slow for a while is slow for all three. What cannot
be served in time has to be refused at once, and cost next to nothing: 95 % of the peak or more are
still delivered (the median of the rounds), what is accepted comes within its deadline and two
batches.
"""

import argparse
import asyncio
import json
import math
import sys
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from loadtests.callers import Callers, Phase
from loadtests.readings import Reading, hardware
from loadtests.serving import Server, ServerFailed, serving

FEWEST, MOST = 16, 2048
"""Images a request asks for: so many that asking and refusing cost little beside drawing."""
TIMES = 10
"""How many times the peak is offered."""
CALLERS = 6
"""Who ask without pause while the peak is measured."""
WARM = 3
"""Short closed loops before the first one that counts: larger requests are drawn faster."""
GOODPUT = 0.95
"""Least share of the peak that has to be delivered."""
BATCHES = 2
"""How many batches later than its deadline an accepted request may be answered."""


@dataclass(frozen=True)
class Outcome:
    """The whole run, in numbers: medians of the rounds, but for what is said of all requests."""

    images_a_request: int
    peak_images_per_s: float
    offered_images_per_s: float
    images_per_s: float
    shares: list[float]
    """Of each round: what was delivered under overload, of the mean of the peaks around it."""
    deadline_s: float
    batch_s: float
    """What one batch took, on average, while too much was offered."""
    accepted_p99_s: float
    refused_p99_s: float
    statuses: dict[int, int]

    @property
    def share(self) -> float:
        """What was delivered under overload, of the peak."""
        return median(self.shares)

    def faults(self) -> list[str]:
        """Return in words what is wrong; nothing if the server did as it should."""
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
    parser.add_argument("--seconds", type=float, default=10, help="of each phase (10)")
    parser.add_argument("--deadline-ms", type=int, default=1000, help="of each request (1000)")
    parser.add_argument("--python", default=sys.executable, help="the serving interpreter")
    parser.add_argument("--save", type=Path, help="write the result there as JSON")
    args = parser.parse_args(argv)
    try:
        with serving(args.python) as server:
            outcome = asyncio.run(
                overload(server, args.rounds, args.seconds, args.deadline_ms / 1000)
            )
    except ServerFailed as error:
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
        facts = {"command": command, "hardware": hardware(), "share": outcome.share}
        report = {**facts, **asdict(outcome), "faults": faults}
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text(json.dumps(report, indent=2) + "\n")
    for fault in faults:
        print(f"fault: {fault}")
    return 1 if faults else 0


async def overload(server: Server, rounds: int, seconds: float, deadline_s: float) -> Outcome:
    """Measure the peak of ``server``, and what it delivers when ten times that is offered."""
    peaks: list[Phase] = []
    overloads: list[Phase] = []
    batches_s: list[float] = []
    with closing(Callers(server, FEWEST)) as callers:
        for _ in range(WARM):  # the server learns how fast it is, and so do we
            warm = await callers.closed_loop(2.0, CALLERS)
            callers.images = images_a_request(warm.images_per_s, deadline_s)
        peaks.append(await callers.closed_loop(seconds, CALLERS))
        for number in range(1, rounds + 1):
            pace = TIMES * peaks[-1].images_per_s / callers.images
            before = Reading.of(server)
            over = await callers.open_loop(seconds, pace, deadline_s, first=number << 40)
            spent = Reading.of(server) - before
            overloads.append(over)
            batches_s.append(spent.inference_s / max(spent.batches, 1))
            peaks.append(await callers.closed_loop(seconds, CALLERS))
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
        accepted_p99_s=percentile([s for over in overloads for s in over.accepted_s], 0.99),
        refused_p99_s=percentile([s for over in overloads for s in over.refused_s], 0.99),
        statuses=dict(sum((over.statuses for over in overloads), Counter())),
    )


def images_a_request(images_per_s: float, deadline_s: float) -> int:
    """Return a multiple of ``FEWEST``: about a quarter of what is drawn within the deadline."""
    quarter = round(images_per_s * deadline_s / 4 / FEWEST) * FEWEST
    return max(FEWEST, min(MOST, quarter))


def percentile(values: list[float], share: float) -> float:
    """Return the smallest of ``values`` that ``share`` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


if __name__ == "__main__":
    sys.exit(main())

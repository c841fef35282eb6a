"""The options that the search for a capacity and the search for settings share."""

import argparse
import sys
from pathlib import Path

from loadtests.capacity.kinds import Kind
from loadtests.capacity.meter import Length
from loadtests.capacity.slo import Slo


def add_options(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Add the options to ``parser``; ``seconds`` is the default of a trial's length."""
    add = parser.add_argument
    add("--percentile", type=_share, default="99", help="of the latency, in %% (99)")
    add("--limit-ms", type=_positive, default=100.0, help="of the latency there (100)")
    add(
        "--limit-ms-an-image",
        type=float,
        default=4.0,
        help="what each image beyond a request's first adds to the limit (4)",
    )
    add("--refused", type=_share, default="0.1", help="requests in %% that may be refused (0.1)")
    add("--seconds", type=_positive, default=seconds, help=f"of a trial at least ({seconds:g})")
    add(
        "--beyond",
        type=int,
        default=10,
        help="requests beyond the percentile of a trial at least, for which it gets longer (10)",
    )
    add("--precision", type=_share, default="5", help="of a capacity, in %% (5)")
    add("--generators", type=int, default=1, help="processes that make the requests (1)")
    add("--python", default=sys.executable, help="the serving interpreter")
    add("--save", type=Path, help="write the result there")


def slo_of(args: argparse.Namespace, kind: Kind) -> Slo:
    """Return the objective that the options state for ``kind``."""
    limit_ms = args.limit_ms + args.limit_ms_an_image * (kind.images - 1)
    return Slo(args.percentile, limit_ms, args.refused)


def length_of(args: argparse.Namespace) -> Length:
    """Return the length of a trial that the options state."""
    return Length(args.seconds, args.beyond)


def settings_of(texts: list[str]) -> dict[str, str]:
    """Return the variables of ``NAME=VALUE`` texts.

    Raises:
        ValueError: a text has no name or no equals sign.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ValueError(f"{text!r} is no setting; wanted NAME=VALUE")
        found[name] = value
    return found


def _share(text: str) -> float:
    """Return a percentage as a share, 0 to 1."""
    percent = float(text)
    if not 0 < percent < 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100 %")
    return percent / 100


def _positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number

"""Writes ``docs/performance.md`` and its plots from ``loadtests/results``: ``make performance``.

What stands before and after the marks in the page stays.

    python -m loadtests.page
"""

import argparse
import sys
from pathlib import Path

from loadtests.page import plots
from loadtests.page.results import read
from loadtests.page.sections import SECTIONS, replaced
from loadtests.serving import ROOT

PAGE = ROOT / "docs/performance.md"


def main(argv: list[str] | None = None) -> int:
    """Write the page; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="the page (docs/performance.md)")
    args = parser.parse_args(argv)
    results = read()
    args.page.write_text(replaced(args.page.read_text(), results))
    for section in SECTIONS:
        own = [each for each in results if each.kind == section.kind]
        if own and section.plot:
            name, draw, height = section.plot
            plots.write(args.page.parent / "performance" / f"{name}.svg", draw, own, height)
    print(f"{args.page}: {len(results)} results")
    return 0


if __name__ == "__main__":
    sys.exit(main())

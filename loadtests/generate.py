"""Measures ``carfront generate`` beside ``session.run`` alone, in one run: ``make bench-generate``.

Each round draws the same images in every way, with the best rate of ``session.run`` alone measured
before and after each. A ratio is a way's rate over the mean of the two around it. What is told is
the median over the rounds. A way's rate is its own: from the first image to the last file on the
disk, without the start. The server's ratio over the bundle's, of the same round, is told too.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtests.bench import raw
from loadtests.readings import MeasureError, hardware, one, save
from loadtests.serving import ROOT, serving

BUNDLE = "models/cars-dcgan/2"
FROM_BUNDLE, FROM_SERVER = "bundle, npy", "one server, npy"
WAYS = {
    FROM_BUNDLE: ("--format=npy", f"--bundle={BUNDLE}"),
    "bundle, tar of PNGs": ("--format=tar", f"--bundle={BUNDLE}"),
    FROM_SERVER: ("--format=npy",),
}
"""The options of each way to draw; without a bundle it is from a server."""
RATE = r"images, ([\d,]+) images/s, [\d.,]+ s$"
"""The rate in the last line that the command writes."""


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.generate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--images", type=int, default=60_000, help="images of each way (60000)")
    parser.add_argument("--folder", type=Path, help="where data sets go (a temporary folder)")
    parser.add_argument("--save", type=Path, help="write the result there as JSON")
    args = parser.parse_args(argv)
    try:
        rounds = measure(args.rounds, args.images, args.folder)
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    report = summary(rounds)
    print(table(report))
    if args.save:
        command = f"python -m loadtests.generate --rounds {args.rounds} --images {args.images}"
        save(args.save, command, report)
    return 0


def measure(rounds: int, images: int, parent: Path | None) -> list[dict[str, tuple[float, float]]]:
    """Return for each round and way its rate, and that of ``session.run`` alone around it."""
    found = []
    best = raw(sys.executable)
    for number in range(1, rounds + 1):
        around = [raw(sys.executable, best).best]
        results = {}
        for name, options in WAYS.items():
            rate = generated(options, images, parent)
            around.append(raw(sys.executable, best).best)
            results[name] = rate, statistics.mean(around[-2:])
        found.append(results)
        told = ", ".join(f"{name} {rate / alone:.3f}" for name, (rate, alone) in results.items())
        print(f"round {number} of {rounds}: {told}", flush=True)
    return found


def generated(options: tuple[str, ...], images: int, parent: Path | None) -> float:
    """Return the images a second at which a data set is drawn, which is removed again."""
    folder = Path(tempfile.mkdtemp(prefix="carfront-generate-", dir=parent))
    env: Mapping[str, str] = os.environ
    try:
        with ExitStack() as stack:
            if not any(option.startswith("--bundle") for option in options):
                url = stack.enter_context(serving(sys.executable)).url
                env = {**os.environ, "CARFRONT_URL": url, "NO_PROXY": "127.0.0.1"}
            command = [sys.executable, "-m", "carfront", "generate", f"--seeds=0:{images}"]
            ended = subprocess.run(
                [*command, f"--output={folder}", *options],
                cwd=ROOT,
                env=env,
                capture_output=True,
                text=True,
            )
    finally:
        shutil.rmtree(folder)
    if ended.returncode:
        raise MeasureError(f"{' '.join(command)} failed: {ended.stderr.strip()[-500:]}")
    return rate_in(ended.stderr)


def rate_in(text: str) -> float:
    """Return the rate that a command's last line of progress tells."""
    return float(one(RATE, text.strip()).replace(",", ""))


def summary(rounds: list[dict[str, tuple[float, float]]]) -> dict[str, object]:
    """Return the medians over ``rounds``, and the hardware on which they were measured."""
    ways: dict[str, dict[str, Any]] = {}
    for name in rounds[0]:
        ratios = [found[name][0] / found[name][1] for found in rounds]
        ways[name] = {
            "images_per_s": statistics.median(found[name][0] for found in rounds),
            "raw_images_per_s": statistics.median(found[name][1] for found in rounds),
            "ratio": statistics.median(ratios),
            "ratios": ratios,
        }
    report: dict[str, object] = {"hardware": hardware(), "rounds": len(rounds), "ways": ways}
    if {FROM_BUNDLE, FROM_SERVER} <= ways.keys():
        pairs = zip(ways[FROM_SERVER]["ratios"], ways[FROM_BUNDLE]["ratios"], strict=True)
        report["server_over_bundle"] = statistics.median(mine / other for mine, other in pairs)
    return report


def table(report: dict[str, object]) -> str:
    """Return ``report`` as a table in Markdown."""
    lines = [
        f"{report['hardware']}; medians of {report['rounds']} rounds",
        "",
        "| way | images/s | `session.run` alone | ratio | ratios |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, values in report["ways"].items():  # type: ignore[attr-defined]
        ratios = re.sub(r"[\[\]]", "", str([round(ratio, 3) for ratio in values["ratios"]]))
        lines.append(
            f"| {name} | {values['images_per_s']:,.0f} | {values['raw_images_per_s']:,.0f} | "
            f"{values['ratio']:.3f} | {ratios} |"
        )
    if "server_over_bundle" in report:
        told = f"{report['server_over_bundle']:.3f} of the bundle's rate"
        lines += ["", f"One server over loopback delivers {told}, both as npy."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Evaluate the images of a run's generator: ``python -m training.evaluate build/runs/NAME``."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from training.lineage import git_commit, versions

DESCRIPTION = """\
Measure a finished run's generator against its photographs (sliced Wasserstein distance, FID, KID,
colour, diversity, memorisation), each beside what photographs reach against photographs. Write
evaluation.json and evaluation.html."""


class Terminal:
    """Prints each step of the evaluation on ``out``: its progress if that is a terminal."""

    def __init__(self, out: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._now = now

    def step(self, name: str) -> Callable[[float], None]:
        """Begin a step; return the function that is told the part done, 0 to 1."""
        began = self._now()
        live = self._out.isatty()

        def tell(part: float) -> None:
            if live or part >= 1:
                line = f"{name}: {part:.0%}, {self._now() - began:.0f} s"
                start, end = ("\r", "\033[K\n" if part >= 1 else "\033[K") if live else ("", "\n")
                print(f"{start}{line}", end=end, file=self._out, flush=True)

        return tell


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the settings on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=DESCRIPTION,
        epilog="example: python -m training.evaluate build/runs/cars",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="run directory of the training")
    add("--images", type=int, default=6000, help="images to draw, 4 or more (default: 6000)")
    add("--seed", type=int, default=0, help="seed of the latents and of every random choice")
    add("--data-path", type=Path, help="folder that holds the run's data set already")
    add("--inception-weights", type=Path, metavar="FILE", help="Keras's InceptionV3 without top")
    add("--no-inception", action="store_true", help="neither FID nor KID, which take long")
    add("--out", type=Path, metavar="DIR", help="where to write (default: RUN/evaluation)")
    settings = parser.parse_args(argv)
    if settings.images < 4:
        parser.error(f"--images is {settings.images}; wanted 4 or more")
    if settings.seed < 0:
        parser.error(f"--seed is {settings.seed}; wanted 0 or more")
    return settings


def main(argv: list[str] | None = None) -> int:
    """Evaluate as the command line says; return the exit status."""
    settings = parse(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return run(settings)
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return 130


def run(settings: argparse.Namespace) -> int:
    """Evaluate, and print the page's path or the error; return the exit status."""
    from training.evaluation.inception import NoInception
    from training.evaluation.runs import RunError  # this imports Keras, which takes seconds
    from training.run_directory import RunDirectoryError

    try:
        print(f"done: {evaluate(settings, Terminal(sys.stderr))}")
    except (RunError, RunDirectoryError, NoInception, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def evaluate(settings: argparse.Namespace, terminal: Terminal) -> Path:
    """Measure, print the table, write both files, and return the page's path.

    Raises:
        NoInception: ``--inception-weights`` names a file that cannot be used.
        RunDirectoryError: the results could not be written.
        RunError: the run cannot be judged.
    """
    from training.evaluation.judge import judge
    from training.evaluation.report import Report, read_history
    from training.evaluation.runs import open_run
    from training.evaluation.sections import write
    from training.run_directory import make_writable

    run = open_run(settings.run)
    out = settings.out or run.folder / "evaluation"
    make_writable(out)
    photographs = run.photographs(settings.data_path)
    held_out = run.held_out(settings.data_path)
    inception, reason = find_inception(settings)
    generated = run.draw(settings.images, settings.seed, terminal.step("drawing"))
    judgement = judge(generated, photographs, held_out, terminal.step, settings.seed, inception)
    how = {"images": settings.images, "seed": settings.seed}
    how |= {"git_commit": git_commit(), "versions": versions()}
    report = Report(
        name=run.name,
        facts=run.facts,
        judgement=judgement,
        generated=generated,
        photographs=photographs,
        history=read_history(run.folder / "history.csv"),
        how=how,
        no_inception=reason,
    )
    print(report.as_text())
    return write(report, out)


def find_inception(settings: argparse.Namespace) -> tuple[Any, str | None]:
    """Return InceptionV3, or None and the reason; a file that the caller named must be usable.

    Raises:
        NoInception: ``--inception-weights`` names a file that cannot be used.
    """
    from training.evaluation.inception import NoInception, load_inception

    if settings.no_inception:
        return None, "--no-inception was given"
    try:
        return load_inception(settings.inception_weights), None
    except NoInception as error:
        if settings.inception_weights is not None:
            raise
        return None, str(error)


if __name__ == "__main__":
    sys.exit(main())

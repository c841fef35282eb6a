"""Evaluate a generator's images: ``python -m training.evaluate`` of a run or of a bundle."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from training.lineage import git_commit, versions
from training.quiet import import_tensorflow

DESCRIPTION = """\
Measure the generator of a finished run, or of a bundle, against the photographs that it was trained
on (sliced Wasserstein distance, a classifier's features, FID, KID, colour, diversity,
memorisation), each beside what photographs reach against photographs. Write evaluation.json and
evaluation.html."""


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
        epilog="examples: python -m training.evaluate build/runs/cars\n"
        "          python -m training.evaluate models/cars-dcgan/2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="run directory of the training, or a bundle")
    add("--images", type=int, default=6000, help="images to draw, 4 or more (default: 6000)")
    add("--seed", type=int, default=0, help="seed of the latents and of every random choice")
    add("--data-path", type=Path, help="folder that holds the run's data set already")
    add("--inception-weights", type=Path, metavar="FILE", help="Keras's InceptionV3 without top")
    add("--no-inception", action="store_true", help="neither FID nor KID, which take long")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write (default: RUN/evaluation, or build/evaluation/NAME)",
    )
    settings = parser.parse_args(argv)
    if settings.images < 4:
        parser.error(f"--images is {settings.images}; wanted 4 or more")
    if settings.seed < 0:
        parser.error(f"--seed is {settings.seed}; wanted 0 or more")
    return settings


def main(argv: list[str] | None = None) -> int:
    """Evaluate as the command line says; return the exit status."""
    settings = parse(argv)
    try:
        return run(settings)
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return 130


def run(settings: argparse.Namespace) -> int:
    """Evaluate, and print the page's path or the error; return the exit status."""
    import_tensorflow()  # it takes seconds
    from training.evaluation.inception import NoInception
    from training.evaluation.runs import RunError
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
    from training.evaluation.bundles import MANIFEST, open_bundle
    from training.evaluation.judge import judge
    from training.evaluation.report import Report, read_history
    from training.evaluation.runs import open_run
    from training.evaluation.sections import write
    from training.run_directory import make_writable

    is_bundle = (settings.run / MANIFEST).exists()
    run = open_bundle(settings.run) if is_bundle else open_run(settings.run)
    out = settings.out or run.results
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

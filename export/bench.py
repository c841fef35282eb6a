"""The speed of a bundle's variants on this host: ``python -m export.bench models/NAME/VERSION``.

Every variant, plan and batch size is measured in turn, several times over, so that other load of
the machine falls on all of them alike. The results are medians of images a second.
"""

import argparse
import errno
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from server.bundle.files import load_bundle
from server.bundle.manifest import GRADIENT, BundleError, Variant
from server.runtime.plans import Plan, choose_plans
from server.runtime.session import Session, most_rows

BATCH_SIZES = (1, 8, 32, 64)
ROUNDS = 9
SECONDS = 0.15
"""The seconds of one measurement; a run that takes longer is measured once."""


@dataclass(frozen=True)
class Rate:
    """Images a second of one variant on one plan in one batch size."""

    variant: str
    plan: str
    rows: int
    images_per_second: float


@dataclass(frozen=True)
class Subject:
    """An ONNX file and the plan on which it is measured."""

    variant: str
    path: Path
    plan: Plan
    least_rows: int = 1
    """The rows of the smallest batch that a session runs."""


def measure(
    subjects: list[Subject],
    latent_dim: int,
    threads: int,
    clock: Callable[[], float] = time.perf_counter,
    rounds: int = ROUNDS,
    sizes: Sequence[int] = BATCH_SIZES,
) -> tuple[list[Rate], list[str]]:
    """Return the rates, and a text for each subject that cannot run on this host."""
    sessions: list[tuple[Subject, Session]] = []
    failed = []
    for subject in subjects:
        try:
            session = Session(subject.path, subject.plan, threads, least_rows=subject.least_rows)
            sessions.append((subject, session))
        except Exception as error:  # a provider's error of any kind must not stop the others
            failed.append(f"{subject.variant} on {subject.plan}: not measured: {error}")
    rng = np.random.default_rng(0)
    rates = []
    for rows in sizes:
        batch = rng.standard_normal((rows, latent_dim), np.float32)
        found: list[list[float]] = [[] for _ in sessions]
        for _, session in sessions:
            session.run(batch)  # the first run of a size compiles
        for _ in range(rounds):
            for (_, session), each in zip(sessions, found, strict=True):
                each.append(rows * _runs_per_second(session, batch, clock))
        rates += [
            Rate(subject.variant, str(subject.plan), rows, round(statistics.median(each), 1))
            for (subject, _), each in zip(sessions, found, strict=True)
        ]
    return rates, failed


def _runs_per_second(
    session: Session,
    batch: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    clock: Callable[[], float],
) -> float:
    runs, took, began = 0, 0.0, clock()
    while took < SECONDS:
        session.run(batch)
        runs += 1
        took = clock() - began
    return runs / took


def sizes_for(image_shape: Sequence[int]) -> list[int]:
    """Return those of ``BATCH_SIZES`` in which a server may draw images of a shape."""
    return [size for size in BATCH_SIZES if size <= 2 * most_rows(image_shape)]


def table(rates: list[Rate], failed: list[str]) -> str:
    """Return the rates as text: a line for each variant and plan, a column for each size."""
    cells = {(rate.variant, rate.plan, rate.rows): rate.images_per_second for rate in rates}
    sizes = sorted({rate.rows for rate in rates})
    lines = [f"{'variant':10}{'plan':16}" + "".join(f"{rows:>9}" for rows in sizes)]
    for variant, plan in dict.fromkeys((rate.variant, rate.plan) for rate in rates):
        row = "".join(f"{cells[variant, plan, rows]:9,.0f}" for rows in sizes)
        lines.append(f"{variant:10}{plan:16}{row}")
    return "\n".join([*lines, *failed])


def plans_of(variant: Variant) -> list[Plan]:
    """Return the plans on which ``variant`` is measured: its own if it has any, or all."""
    own = [plan.split("/") for plan in variant.plans]
    return [Plan(provider, precision) for provider, precision in own] or choose_plans()


def _check_place(file: Path) -> None:
    """Raise OSError if ``file`` cannot be written, before minutes of measurements."""
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(file))
    with tempfile.TemporaryFile(dir=file.parent):
        pass


def main(argv: list[str] | None = None) -> int:
    """Measure the bundle on the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m export.bench", description=__doc__)
    add = parser.add_argument
    add("bundle", type=Path, help="directory of the bundle, e.g. models/cars-dcgan/1")
    add("--plain", type=Path, help="another ONNX file to hold against it, e.g. before the rewrites")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all processors")
    add("--save", type=Path, metavar="FILE", help="write the rates as JSON too")
    options = parser.parse_args(argv)
    try:
        manifest = load_bundle(options.bundle).manifest
        if options.save:
            _check_place(options.save)
    except (BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    subjects = [
        Subject(
            variant.name,
            options.bundle / variant.file,
            plan,
            variant.least_rows.get(plan.listed_as, 1),
        )
        for variant in manifest.variants
        if variant.name != GRADIENT  # it draws nothing
        for plan in plans_of(variant)
    ]
    if options.plain:
        subjects += [Subject("plain", options.plain, plan) for plan in choose_plans()]
    sizes = sizes_for(manifest.image.shape)
    rates, failed = measure(subjects, manifest.latents.dim, options.threads, sizes=sizes)
    print(f"images a second by batch size, {options.threads} threads, median of {ROUNDS}")
    print(table(rates, failed))
    if options.save:
        facts = {"threads": options.threads, "rates": [asdict(x) for x in rates], "failed": failed}
        options.save.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

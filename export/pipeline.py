"""The export from end to end: check, convert, compare, write."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from export.bench import Rate, Subject, measure, table
from export.config import ExportConfig
from export.contents import MODEL_FILE, Proven, write_contents
from export.convert import convert, finish, write_onnx
from export.errors import ParityFailed
from export.head import add_head
from export.lineage import stamp
from export.parity import Report, check_parity
from export.probes import make_probes
from export.reference import Reference, apart, once
from export.rewrites import NAMES, rewrite
from export.run import Run, read_run
from export.variants import CANDIDATES
from export.variants.trial import Bench, Trial, try_out
from export.write import draft_of
from server.runtime.plans import VARIANT, choose_plans

ROUNDS = 3
"""The number of rounds in which the speed is measured; ``python -m export.bench`` takes more."""

SIZE_FACTOR = 3
"""The weights of a bundle by those of the SavedModel: float32 twice, and float16."""
PAGES_BYTES = 2_000_000
"""The bytes of a bundle's other files, pictures most of all; they are half a megabyte."""

Say = Callable[[str], None]
FORMS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {NAMES: rewrite, "none": finish}
"""The forms of the graph by name, best first: rewritten, or as converted where that fails."""


def export(config: ExportConfig, say: Say) -> Path:
    """Export ``config.run`` and return the bundle's directory; ``say`` gets a text a stage.

    Raises:
        ExportError: no bundle was written; the message says why and what to do.
    """
    run = read_run(config.run)
    with (
        draft_of(config.target, config.force, _size(run)) as draft,  # before minutes of work
        tempfile.TemporaryDirectory(prefix="carfront-export-") as scratch,
    ):
        with _stage("convert to ONNX", say):
            floats = convert(
                run.saved_model, Path(scratch), run.latent_dim, run.image_shape, run.image_range
            )
        reference = once(apart(run.saved_model, run.image_range))
        proven = _prove(floats, run, reference, Path(scratch), say)
        with _stage("measure the speed", say):
            proven.rates = _measure(proven, floats, run, Path(scratch), say)
        proven.trials = _try_variants(proven, floats, run, reference, Path(scratch), say)
        with _stage("write the bundle", say):
            write_contents(draft, proven, run, config)
    return config.target


def _size(run: Run) -> int:
    """Return about how many bytes the bundle of ``run`` will have, rather too many."""
    files = (path for path in run.saved_model.rglob("*") if path.is_file())
    return SIZE_FACTOR * sum(path.stat().st_size for path in files) + PAGES_BYTES


def _prove(
    floats: onnx.ModelProto, run: Run, reference: Reference, scratch: Path, say: Say
) -> Proven:
    """Return the form of the graph that draws the SavedModel's images on the most plans.

    Of two forms that do so on as many plans, it is the faster one.

    Raises:
        ParityFailed: no form draws them; the misses are those of the fastest form.
    """
    misses: list[str] = []
    good: list[Proven] = []
    for name, change in FORMS.items():
        form = Proven(name, scratch / f"{len(good)}-{MODEL_FILE}", Report([]))
        served = add_head(change(floats))
        stamp(served, run)
        write_onnx(served, form.model)
        with _stage("compare with TensorFlow", say):
            probes = make_probes(run.latent_dim)
            form.report = check_parity(
                form.model, reference, probes, choose_plans(), _threads(), stated=run.image_range
            )
        say(f"\nrewrites: {name}\n{form.report.table()}\n")
        misses = misses or form.report.misses
        good += [] if form.report.misses else [form]
        if good and not good[-1].report.refused:
            break
    if not good:
        raise ParityFailed(misses)
    return min(good, key=lambda form: len(form.report.refused))


def _try_variants(
    proven: Proven,
    floats: onnx.ModelProto,
    run: Run,
    reference: Reference,
    scratch: Path,
    say: Say,
) -> list[Trial]:
    bench = Bench(
        floats,
        proven.model,
        reference,
        make_probes(run.latent_dim),
        _threads(),
        ROUNDS,
        lambda model: stamp(model, run),
    )
    trials = []
    for candidate in CANDIDATES:
        with _stage(f"try {candidate.name}", say):
            trials.append(try_out(candidate, bench, scratch))
        say(f"\n{trials[-1]}\n")
    return trials


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _measure(
    proven: Proven, floats: onnx.ModelProto, run: Run, scratch: Path, say: Say
) -> list[Rate]:
    """Return the rates of the graph that serves and of the converter's graph."""
    plain = scratch / "plain.onnx"
    write_onnx(add_head(floats), plain)
    files = {VARIANT: proven.model, "plain": plain}
    subjects = [
        Subject(name, path, plan) for plan in choose_plans() for name, path in files.items()
    ]
    rates, failed = measure(subjects, run.latent_dim, _threads(), rounds=ROUNDS)
    say(f"\nimages a second by batch size\n{table(rates, failed)}\n")
    return rates


@contextmanager
def _stage(name: str, say: Say) -> Iterator[None]:
    started = time.monotonic()
    yield
    say(f"{name:24}{time.monotonic() - started:6.1f} s")

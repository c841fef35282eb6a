"""The export from end to end: check, convert, compare, write."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import onnx

from export.bench import Rate, Subject, measure, sizes_for, table
from export.config import ExportConfig
from export.contents import MODEL_FILE, Proven, write_contents
from export.convert import convert, finish, write_onnx
from export.errors import PLAIN, ConversionFailed, ParityFailed, first_line
from export.head import add_head
from export.lineage import stamp, training_of
from export.parity import check_parity
from export.probes import Probe, make_probes, rows_for
from export.quality import beside_newest, evaluation_of
from export.reference import Reference, apart, once
from export.report import Report
from export.rewrites import NAMES, rewrite
from export.rounding import rounding
from export.rows import RowFacts
from export.run import Run
from export.sources.intake import Source, open_source, source_size, take_in
from export.variants import CANDIDATES
from export.variants.trial import Bench, Trial, try_out
from export.write import draft_of
from server.runtime.plans import VARIANT, choose_plans

ROUNDS = 3
"""The number of rounds in which the speed is measured; ``python -m export.bench`` takes more."""

SIZE_FACTOR = 3
"""The weights of a bundle by those of the SavedModel: float32 twice, and float16."""
PAGES_BYTES, PAGES_IMAGES = 1_500_000, 200
"""The bytes and the images of a bundle's other files, pictures most of all: half a megabyte for
images of 32x32."""

Say = Callable[[str], None]
FORMS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {NAMES: rewrite, "none": finish}
"""The forms of the graph by name, best first: rewritten, or as converted where that fails."""


def export(config: ExportConfig, say: Say) -> Path:
    """Export ``config.source`` and return the bundle's directory; ``say`` gets a text a stage.

    Raises:
        ExportError: no bundle was written; the message says why and what to do.
    """
    source = open_source(config.source, config.options)
    with (
        draft_of(config.target, config.force, _size(source)) as draft,  # before minutes of work
        tempfile.TemporaryDirectory(prefix="carfront-export-") as scratch,
    ):
        with _stage("read the generator", say):
            run = take_in(source, config.options, Path(scratch))
        with _stage("convert to ONNX", say):
            floats = convert(
                run.saved_model,
                Path(scratch),
                run.latent_dim,
                run.image_shape,
                run.image_range,
                conditional=bool(run.classes),
            )
        reference = once(apart(run.saved_model, run.image_range))
        probes = make_probes(
            run.latent_dim, rows_for(run.image_shape), run.distribution, len(run.classes)
        )
        proven = _prove(floats, run, reference, probes, Path(scratch), say)
        with _stage("measure the speed", say):
            proven.rates = _measure(proven, floats, run, Path(scratch), say)
        proven.trials = _try_variants(proven, floats, run, reference, probes, Path(scratch), say)
        with _stage("write the bundle", say):
            say(write_contents(draft, proven, run, config).told)
    training = training_of(run)
    if training:
        training["evaluation"] = evaluation_of(run.saved_model.parent)
    for line in beside_newest(training, config.models, config.name, config.version):
        say(line)
    return config.target


def _size(source: Source) -> int:
    """Return about how many bytes the bundle of ``source`` will have, rather too many.

    The images of a generator from elsewhere are taken for small ones: its file does not tell yet.
    """
    images = PAGES_IMAGES * prod(source.image_shape) if isinstance(source, Run) else 0
    return SIZE_FACTOR * source_size(source) + PAGES_BYTES + images


def _prove(
    floats: onnx.ModelProto,
    run: Run,
    reference: Reference,
    probes: list[Probe],
    scratch: Path,
    say: Say,
) -> Proven:
    """Return the form of the graph that draws the SavedModel's images on the most plans.

    Of two forms that do so on as many plans, it is the faster one. A form that cannot be made, as
    a rewrite stumbles over an unusual graph, is told and passed over.

    Raises:
        ParityFailed: no form draws them; the misses are those of the fastest form.
        ConversionFailed: no form can be made.
    """
    misses: list[str] = []
    unmade: list[str] = []
    good: list[Proven] = []
    with _stage("measure the rounding", say):
        moved = rounding(floats, probes)
    for name, change in FORMS.items():
        form = Proven(name, scratch / f"{len(good)}-{MODEL_FILE}", Report([]))
        try:
            served = add_head(change(floats))
        except Exception as error:  # of any kind: the converter's graph may still be right
            say(f"rewrites: {name}: cannot be made of this graph ({first_line(error)})")
            unmade.append(f"{name}: {first_line(error)}")
            continue
        stamp(served, run)
        write_onnx(served, form.model)
        with _stage("compare with TensorFlow", say):
            form.report = check_parity(
                form.model,
                reference,
                probes,
                choose_plans(),
                _threads(),
                stated=run.image_range,
                rounding=moved,
            )
        say(f"\nrewrites: {name}\n{form.report.table()}\n")
        misses = misses or form.report.misses
        good += [] if form.report.misses else [form]
        if form.report.wanted is None or (good and not good[-1].report.refused):
            break  # the SavedModel itself is at fault, or nothing is left to wish for
    if not good and not misses:
        raise ConversionFailed(f"no form of the graph can be made, {'; '.join(unmade)}; {PLAIN}")
    if not good:
        raise ParityFailed(misses)
    return min(good, key=lambda form: len(form.report.refused))


def _try_variants(
    proven: Proven,
    floats: onnx.ModelProto,
    run: Run,
    reference: Reference,
    probes: list[Probe],
    scratch: Path,
    say: Say,
) -> list[Trial]:
    bench = Bench(
        floats,
        proven.model,
        reference,
        probes,
        _threads(),
        ROUNDS,
        lambda model: stamp(model, run),
        RowFacts(run.latent_dim, run.distribution, len(run.classes)),
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
    least = proven.report.least_rows()
    subjects = [
        Subject(name, path, plan, least.get(str(plan), 1) if name == VARIANT else 1)
        for plan in choose_plans()
        for name, path in files.items()
    ]
    sizes = sizes_for(run.image_shape)
    rates, failed = measure(subjects, run.latent_dim, _threads(), rounds=ROUNDS, sizes=sizes)
    say(f"\nimages a second by batch size\n{table(rates, failed)}\n")
    return rates


@contextmanager
def _stage(name: str, say: Say) -> Iterator[None]:
    started = time.monotonic()
    yield
    say(f"{name:24}{time.monotonic() - started:6.1f} s")

"""The parity check: the proof that the sessions which will serve draw the SavedModel's images.

The images of every plan that the server would try on this host are compared with those of
TensorFlow, on ordinary and on extreme latents, in several batch sizes. All misses are reported
together, each with the latents that show it worst.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from export.batches import changes_of, least_rows, run_in_batches
from export.differences import compare, exceeded, off_boundary
from export.errors import first_line
from export.head import HALF_RANGE, IMAGES_FLOAT, cut_head, to_uint8
from export.not_measured import not_measured
from export.probes import Exam, Probe, place
from export.reference import Reference
from export.report import PlanParity, Report
from export.rows import feeds
from export.stated_range import beyond
from export.tolerances import MOST_FLOATS, limits
from server.runtime.plans import Plan
from server.runtime.session import Session

GOLDEN_PLAN = Plan("cpu", "f32")
"""The most exact plan, ONNX Runtime's own provider in float32, which every host has."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def check_parity(
    model: Path,
    reference: Reference,
    probes: list[Probe],
    plans: list[Plan],
    threads: int,
    exact: bool = True,
    stated: tuple[float, float] | None = None,
    rounding: Mapping[str, float] | None = None,
) -> Report:
    """Return the parity of the ONNX file ``model``, uint8 head included, with ``reference``.

    ``exact`` also compares the floats before the head, which only a graph in float32 has.
    ``stated`` is the range of images that the run states, which ``reference`` takes to [-1, 1];
    None does not ask whether they have it. ``rounding`` is that of the network by kind of latents,
    see ``export.rounding``; None gives the narrowest limits.
    """
    latents = np.concatenate([probe.latents for probe in probes])
    exam = Exam(probes, latents, reference(latents), rounding)
    report = Report(probes, rounding=dict(rounding) if rounding is not None else None)
    report.batch_sizes = sorted((exam.batch_size, *exam.other_sizes))
    report.misses += _not_finite("the SavedModel", exam.wanted, exam)
    if not report.misses:
        report.misses += _not_of_latents_alone(exam)
    if stated and not report.misses:
        ((_, ordinary, _), _) = exam.kinds(limits(GOLDEN_PLAN))
        report.misses += beyond(exam.wanted[ordinary], stated)
    if report.misses:
        return report  # the SavedModel gives no images to compare with
    report.wanted = to_uint8(exam.wanted)
    if exact:
        report.misses += _check_floats(model, exam, report)
        report.not_measured = not_measured(plans)
    for plan in plans:
        parity = PlanParity(plan, limits(plan, rounding))
        report.plans.append(parity)
        parity.misses = list(_check_plan(parity, model, exam, report.wanted, threads))
    _decide(report)
    return report


def _decide(report: Report) -> None:
    """Refuse the plans that the server can do without; the other plans' misses stop the export.

    A graph that is right in float32 may be wrong in bf16 alone, or give other bits in another
    batch on one provider. If it is wrong in float32, the graph itself is, and every miss stops the
    export.
    """
    right = not report.misses and not any(
        parity.misses for parity in report.plans if parity.plan.precision == GOLDEN_PLAN.precision
    )
    for parity in report.plans:
        wrong = parity.misses + parity.batch_dependent
        reduced = right and parity.plan.precision != GOLDEN_PLAN.precision
        if wrong and parity.plan != GOLDEN_PLAN and (reduced or not parity.misses):
            report.refused[str(parity.plan)] = "; ".join(wrong)
        else:
            report.misses += [f"{parity.label}: {miss}" for miss in wrong]


def _not_of_latents_alone(exam: Exam) -> Iterator[str]:
    """Yield a text if the SavedModel draws other images of the same latents beside others."""
    allowed = exam.limits(GOLDEN_PLAN).ordinary.floats or 0.0
    first: dict[bytes, int] = {}
    for row, latents in enumerate(exam.latents):
        before = first.setdefault(latents.tobytes(), row)
        off = float(np.abs(exam.wanted[row] - exam.wanted[before]).max())
        if off > allowed:
            yield (
                f"the SavedModel draws two images of the same latents, {exam.at([before])} and "
                f"{exam.at([row])}, which differ by {off * HALF_RANGE:.2g} grey levels: its rows "
                "depend on each other or on chance; take statistics of the batch (minibatch "
                "standard deviation, BatchNormalization in training mode) and noise out of the "
                "generator"
            )
            return


def _check_floats(model: Path, exam: Exam, report: Report) -> Iterator[str]:
    """Compare the floats that enter the uint8 head, on the golden plan."""
    try:
        by_row = _off_by_row(cut_head(onnx.load(str(model))), exam)
    except Exception as error:  # as of a plan; another form of the graph may run
        yield f"cpu f32 before the head: it cannot run the model: {first_line(error)}"
        return
    yield from _rows_not_finite(
        "cpu f32 before the head", np.flatnonzero(~np.isfinite(by_row)), exam
    )
    by_row[~np.isfinite(by_row)] = 2.0  # the whole range
    for kind, rows, limit in exam.kinds(exam.limits(GOLDEN_PLAN)):
        worst = rows[[np.argmax(by_row[rows])]]
        found = float(by_row[worst[0]])
        report.float_difference[kind] = found
        if limit.floats is not None and found > limit.floats:
            most = f"limit {limit.floats:.1g}"
            if limit.floats == MOST_FLOATS:
                most += ", a tenth of a grey level, less than float32 moves images of this network"
            yield (
                f"cpu f32 before the head, {kind} latents: largest difference {found:.2g} "
                f"({most}), worst at {exam.at(worst)}"
            )


def _off_by_row(floats: onnx.ModelProto, exam: Exam) -> NDArray[np.float64]:
    """Return the largest difference of the float images of ``floats`` by row; NaN where it is."""
    session = ort.InferenceSession(floats.SerializeToString(), providers=["CPUExecutionProvider"])
    by_row = np.zeros(len(exam.latents))
    for start in range(0, len(by_row), exam.batch_size):
        part = slice(start, start + exam.batch_size)
        drawn = session.run([IMAGES_FLOAT], feeds(session.get_inputs(), exam.latents[part]))[0]
        off = drawn - exam.wanted[part]
        by_row[part] = np.abs(off).reshape(len(off), -1).max(axis=1)
    return by_row


def _not_finite(who: str, images: Floats, exam: Exam) -> Iterator[str]:
    finite = [bool(np.isfinite(image).all()) for image in images]
    yield from _rows_not_finite(who, np.flatnonzero(~np.array(finite)), exam)


def _rows_not_finite(who: str, rows: NDArray[np.intp], exam: Exam) -> Iterator[str]:
    if len(rows):
        yield f"{who}: NaN or infinity in {len(rows)} images, first at {exam.at(rows)}"


def _check_plan(
    parity: PlanParity, model: Path, exam: Exam, wanted: Bytes, threads: int
) -> Iterator[str]:
    try:
        session = Session(model, parity.plan, threads)
        images = run_in_batches(session, exam.latents, exam.batch_size)
    except Exception as error:  # a provider's error of any kind must not stop the other plans
        yield f"it cannot run the model: {first_line(error)}"
        return
    if images.shape != exam.wanted.shape or images.dtype != np.uint8:
        yield f"it draws {images.dtype} {images.shape}, not uint8 {exam.wanted.shape}"
        return
    parity.images = images
    yield from _check_images(parity, images, exam, wanted)
    changes = list(changes_of(session, images, exam, (*exam.other_sizes, None)))
    if (least := least_rows(changes, parity, exam)) > 1:
        small = [size for size in exam.other_sizes if size < least]
        session = Session(model, parity.plan, threads, least_rows=least)
        if not list(changes_of(session, images, exam, small)):
            parity.least_rows, changes = least, []
    parity.same_in_any_batch = not changes
    parity.batch_dependent = [x.text for x in changes] if parity.limits.any_batch else []


def _check_images(parity: PlanParity, images: Bytes, exam: Exam, wanted: Bytes) -> Iterator[str]:
    for kind, rows, limit in exam.kinds(parity.limits):
        found = compare(images[rows], wanted[rows])
        worst = int(rows[found.worst_row])
        where = place(exam.probes, worst)
        parity.differences[kind] = replace(found, worst_row=worst, worst=where)
        for excess in exceeded(found, limit):
            yield f"{kind} latents: {excess}, worst at {where}"
        if limit.floats is None:
            continue
        wrong = off_boundary(images[rows], exam.wanted[rows], limit.floats)
        if len(wrong):
            yield (
                f"{kind} latents: bytes differ away from a rounding boundary in "
                f"{len(wrong)} images, first at {exam.at(rows[wrong])}"
            )

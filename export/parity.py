"""The parity check: the proof that the sessions which will serve draw the SavedModel's images.

The images of every plan that the server would try on this host are compared with those of
TensorFlow, on ordinary and on extreme latents, in several batch sizes. All misses are reported
together, each with the latents that show it worst.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from export.convert import LATENTS, write_onnx
from export.differences import Difference, compare, exceeded, off_boundary
from export.head import IMAGES_FLOAT, cut_head, to_uint8
from export.probes import Exam, Probe, place
from export.reference import Reference
from export.stated_range import beyond
from export.tolerances import limits
from server.runtime.plans import Plan
from server.runtime.session import Session

BATCH_SIZE = 64
"""The batch size in which the images that are compared with TensorFlow's are drawn."""
OTHER_SIZES = (1, 2, 3, 5, 7, 8, 13, 16, 17, 29, 31, 32, 33, 47, 63, 65)
"""The other batch sizes, in which the same latents have to give the same bits."""
SAMPLE = 520
"""The largest number of rows, taken evenly from all latents, drawn in each of ``OTHER_SIZES``."""
GOLDEN_PLAN = Plan("cpu", "f32")
"""The most exact plan, ONNX Runtime's own provider in float32, which every host has."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass
class PlanParity:
    """The results of one plan."""

    plan: Plan
    differences: dict[str, Difference] = field(default_factory=dict)
    """The differences by kind of latents, "ordinary" and "extreme"."""
    same_in_any_batch: bool = False
    misses: list[str] = field(default_factory=list)
    """The texts of the differences beyond the limits."""
    batch_dependent: list[str] = field(default_factory=list)
    """The texts of latents that gave other bits in another batch, if the plan must not do so."""
    images: Bytes | None = field(default=None, repr=False)
    """The images of all probes, uint8 [rows, height, width, channels]; None if not drawn."""

    @property
    def label(self) -> str:
        """Return the plan's name, such as ``openvino bf16``."""
        return f"{self.plan.provider} {self.plan.precision}"

    def facts(self) -> dict[str, Any]:
        """Return the results and the limits, as JSON."""
        return {
            **{kind: asdict(difference) for kind, difference in self.differences.items()},
            "same_in_any_batch": self.same_in_any_batch,
            "limits": asdict(limits(self.plan)),
        }


@dataclass
class Report:
    """The results of all plans, and every miss."""

    probes: list[Probe]
    wanted: Bytes | None = field(default=None, repr=False)
    """The SavedModel's images of all probes, rounded to uint8; None if not all are finite."""
    plans: list[PlanParity] = field(default_factory=list)
    float_difference: dict[str, float] = field(default_factory=dict)
    """The largest difference before the head by kind of latents, range [-1, 1]."""
    misses: list[str] = field(default_factory=list)
    """The texts of the misses that stop the export."""
    refused: dict[str, str] = field(default_factory=dict)
    """The plans, such as "openvino/f32", that must not serve this graph, each with the reason."""

    def images(self, plan: Plan) -> Bytes:
        """Return the images of ``plan``, uint8 [rows of all probes, height, width, channels]."""
        for parity in self.plans:
            if parity.plan == plan and parity.images is not None:
                return parity.images
        raise KeyError(f"{plan} drew nothing")

    def facts(self) -> dict[str, Any]:
        """Return the report that ``parity.json`` holds."""
        return {
            "reference": "the SavedModel in TensorFlow, rounded half to even to uint8",
            "probes": {probe.name: len(probe.latents) for probe in self.probes},
            "batch_sizes": sorted((BATCH_SIZE, *OTHER_SIZES)),
            "float_difference": self.float_difference,
            "plans": {parity.label: parity.facts() for parity in self.plans},
            "refused": self.refused,
            "misses": self.misses,
        }

    def table(self) -> str:
        """Return the report as text: a line for each plan and kind of latents."""
        lines = [f"{'plan':15}{'latents':10}{'max':>5}{'mean':>9}{'>1':>9}{'PSNR':>9}  any batch"]
        for parity in self.plans:
            for kind, d in parity.differences.items():
                row = f"{parity.label:15}{kind:10}{d.levels:5}{d.mean_levels:9.5f}"
                row += f"{d.share_above_one:9.3%}{d.psnr_db:6.1f} dB"
                lines.append(row + ("  same" if parity.same_in_any_batch else "  DIFFERS"))
        lines += [f"{plan} will not serve: {why}" for plan, why in self.refused.items()]
        return "\n".join(lines)


def check_parity(
    model: Path,
    reference: Reference,
    probes: list[Probe],
    plans: list[Plan],
    threads: int,
    exact: bool = True,
    stated: tuple[float, float] | None = None,
) -> Report:
    """Return the parity of the ONNX file ``model``, uint8 head included, with ``reference``.

    ``exact`` also compares the floats before the head, which only a graph in float32 has.
    ``stated`` is the range of images that the run states, which ``reference`` takes to [-1, 1];
    None does not ask whether they have it.
    """
    latents = np.concatenate([probe.latents for probe in probes])
    exam = Exam(probes, latents, reference(latents))
    report = Report(probes)
    report.misses += _not_finite("the SavedModel", exam.wanted, exam)
    if stated and not report.misses:
        ((_, ordinary, _), _) = exam.kinds(limits(GOLDEN_PLAN))
        report.misses += beyond(exam.wanted[ordinary], stated)
    if report.misses:
        return report  # the SavedModel gives no images to compare with
    report.wanted = to_uint8(exam.wanted)
    if exact:
        report.misses += _check_floats(model, exam, report)
    for plan in plans:
        parity = PlanParity(plan)
        report.plans.append(parity)
        parity.misses = list(_check_plan(parity, model, exam, threads))
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


def _check_floats(model: Path, exam: Exam, report: Report) -> Iterator[str]:
    """Compare the floats that enter the uint8 head, on the golden plan."""
    cut = model.with_name("float-" + model.name)
    write_onnx(cut_head(onnx.load(str(model))), cut)
    session = ort.InferenceSession(str(cut), providers=["CPUExecutionProvider"])
    images: Floats = session.run([IMAGES_FLOAT], {LATENTS: exam.latents})[0]
    yield from _not_finite("cpu f32 before the head", images, exam)
    off = np.nan_to_num(np.abs(images - exam.wanted), nan=2.0, posinf=2.0)  # 2.0 is the whole range
    by_row = off.reshape(len(off), -1).max(axis=1)
    for kind, rows, limit in exam.kinds(limits(GOLDEN_PLAN)):
        worst = rows[[np.argmax(by_row[rows])]]
        found = float(by_row[worst[0]])
        report.float_difference[kind] = found
        if limit.floats is not None and found > limit.floats:
            yield (
                f"cpu f32 before the head, {kind} latents: largest difference {found:.2g} "
                f"(limit {limit.floats:.0e}), worst at {exam.at(worst)}"
            )


def _not_finite(who: str, images: Floats, exam: Exam) -> Iterator[str]:
    rows = np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))
    if len(rows):
        yield f"{who}: NaN or infinity in {len(rows)} images, first at {exam.at(rows)}"


def _check_plan(parity: PlanParity, model: Path, exam: Exam, threads: int) -> Iterator[str]:
    try:
        session = Session(model, parity.plan, threads)
        images = run_in_batches(session, exam.latents, BATCH_SIZE)
    except Exception as error:  # a provider's error of any kind must not stop the other plans
        yield f"it cannot run the model: {error}"
        return
    if images.shape != exam.wanted.shape or images.dtype != np.uint8:
        yield f"it draws {images.dtype} {images.shape}, not uint8 {exam.wanted.shape}"
        return
    parity.images = images
    yield from _check_images(parity, images, exam)
    different = list(_batch_dependent(session, images, exam))
    parity.same_in_any_batch = not different
    parity.batch_dependent = different if limits(parity.plan).any_batch else []


def _check_images(parity: PlanParity, images: Bytes, exam: Exam) -> Iterator[str]:
    for kind, rows, limit in exam.kinds(limits(parity.plan)):
        found = compare(images[rows], to_uint8(exam.wanted[rows]))
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


def _batch_dependent(session: Session, images: Bytes, exam: Exam) -> Iterator[str]:
    """Yield a text for each other batch size, or order of latents, that gives other bits."""
    step = -(-len(images) // SAMPLE)
    sample = np.arange(0, len(images), step)
    runs = [(f"in batches of {size}", size, sample) for size in OTHER_SIZES]
    runs.append(("beside other latents", OTHER_SIZES[4], sample[::-1]))
    for what, size, rows in runs:
        again = run_in_batches(session, exam.latents[rows], size)
        changed = (again != images[rows]).reshape(len(rows), -1).any(axis=1)
        if changed.any():
            first = exam.at(np.sort(rows[changed]))
            yield f"{changed.sum()} images change {what}, first at {first}"


def run_in_batches(session: Session, latents: Floats, size: int) -> Bytes:
    """Return the images of ``latents``, drawn ``size`` at a time."""
    starts = range(0, len(latents), size)
    return np.concatenate([session.run(latents[i : i + size]) for i in starts])

"""The trial of a candidate, which is proven like the graph that serves, and timed beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from export.bench import BATCH_SIZES, Rate, Subject, measure, sizes_for
from export.convert import write_onnx
from export.errors import VariantRefused, first_line
from export.parity import GOLDEN_PLAN, check_parity
from export.probes import Probe
from export.reference import Reference
from export.report import Report
from export.rows import RowFacts
from export.variants import Candidate
from export.variants.exact.proof import other_bytes
from server.runtime.plans import EP_NAMES, VARIANT, Plan, choose_plans

FASTER = 1.05
"""The factor by which a candidate must be faster than its rival: less may be chance."""

Stamp = Callable[[onnx.ModelProto], None]


@dataclass
class Trial:
    """The result of trying a candidate."""

    candidate: Candidate
    model: Path
    """The path of the ONNX file, which does not exist if the candidate could not be built."""
    done: str = ""
    """The description of what was done to the graph."""
    report: Report = field(default_factory=lambda: Report([]))
    plans: list[str] = field(default_factory=list)
    """The plans that may serve the candidate."""
    told: list[str] = field(default_factory=list)
    """The texts that say why a plan may serve or not, and how fast it was."""
    rates: list[Rate] = field(default_factory=list)

    @property
    def shipped(self) -> bool:
        """Whether the candidate is in the bundle."""
        return bool(self.plans)

    def facts(self) -> dict[str, Any]:
        """Return the result of the trial, as JSON."""
        parity = {plan.label: plan.facts() for plan in self.report.plans}
        return {
            "precision": self.candidate.precision,
            "done": self.done,
            "shipped": self.shipped,
            "serves": self.plans,
            "told": self.told,
            "plans": parity,
        }

    def __str__(self) -> str:
        verdict = "shipped" if self.shipped else "not shipped"
        return "\n".join([f"{self.candidate.name}: {verdict}", *(f"  {x}" for x in self.told)])


@dataclass(frozen=True)
class Bench:
    """The graphs, the reference and the settings that all trials share."""

    floats: onnx.ModelProto
    """The converter's graph, with float images."""
    served: Path
    """The ONNX file that serves in float32 and bf16."""
    reference: Reference
    probes: list[Probe]
    threads: int
    rounds: int
    stamp: Stamp
    """The function that writes its lineage into a graph."""
    facts: RowFacts
    """The facts by which seeds become rows."""


def try_out(candidate: Candidate, bench: Bench, scratch: Path) -> Trial:
    """Build ``candidate``, compare its images with TensorFlow's, and measure where it is faster."""
    trial = Trial(candidate, scratch / f"generator-{candidate.name}.onnx")
    try:
        model, trial.done = candidate.build(bench.floats, bench.facts, scratch)
    except VariantRefused as refusal:
        trial.told.append(str(refusal))
        return trial
    except Exception as error:  # the bundle is good without the candidate
        trial.told.append(f"it cannot be made of this graph ({first_line(error)})")
        return trial
    bench.stamp(model)
    write_onnx(model, trial.model)
    at_hand = [plan for plan in candidate.meant_for if _is_here(plan)]
    provers = [*at_hand, *candidate.proven_on]
    trial.report = check_parity(
        trial.model, bench.reference, bench.probes, provers, bench.threads, exact=False
    )
    trial.told += _misses(trial.report)
    if any(str(plan) in trial.report.refused for plan in candidate.proven_on):
        return trial
    if candidate.same_bytes:
        trial.told = trial.told or list(other_bytes(trial.model, trial.report, bench.threads))
        if trial.told:
            return trial
        trial.told.append(f"the same bytes however it was run: {', '.join(map(str, at_hand))}")
    _see_what_is_faster(trial, bench, at_hand)
    return trial


def _is_here(plan: Plan) -> bool:
    """Return whether this host may be able to run ``plan``; a failure later says what it lacks."""
    return plan.provider != "cuda" or EP_NAMES["cuda"] in ort.get_available_providers()


def _misses(report: Report) -> list[str]:
    return [*report.misses, *(f"{plan}: {why}" for plan, why in report.refused.items())]


def _see_what_is_faster(trial: Trial, bench: Bench, at_hand: list[Plan]) -> None:
    right = [p for p in at_hand if str(p) not in trial.report.refused and not trial.report.misses]
    rivals = [p for p in choose_plans() if p.provider in {plan.provider for plan in right}]
    if trial.candidate.same_bytes:
        rivals = [p for p in rivals if p.precision == GOLDEN_PLAN.precision]
    least = trial.report.least_rows()
    subjects = [
        Subject(trial.candidate.name, trial.model, plan, least.get(str(plan), 1)) for plan in right
    ]
    subjects += [Subject(VARIANT, bench.served, plan) for plan in rivals]
    wanted = trial.report.wanted
    sizes = sizes_for(wanted.shape[1:]) if wanted is not None else BATCH_SIZES
    trial.rates, failed = measure(
        subjects, bench.facts.latent_dim, bench.threads, rounds=bench.rounds, sizes=sizes
    )
    trial.told += failed
    best: dict[tuple[str, str], float] = {}
    for rate in trial.rates:
        key = rate.variant, rate.plan
        best[key] = max(best.get(key, 0.0), rate.images_per_second)
    for plan in trial.candidate.meant_for:
        if plan not in at_hand:
            trial.plans.append(str(plan))
            trial.told.append(f"{plan}: right where it could be tried, its speed was not measured")
        own = best.get((trial.candidate.name, str(plan)))
        if own is None:
            continue
        rival, other = max(
            ((p, best[VARIANT, str(p)]) for p in rivals if p.provider == plan.provider),
            key=lambda pair: pair[1],
        )
        if own >= FASTER * other or trial.candidate.same_bytes:
            trial.plans.append(str(plan))
        trial.told.append(f"{plan}: {own / other:.2f} times as fast as {rival}")

"""The report of a parity check: the differences of every plan, the misses, what was not tried."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.differences import Difference
from export.probes import ROWS, Probe
from export.tolerances import Limits
from server.runtime.plans import Plan

Bytes = NDArray[np.uint8]


@dataclass
class PlanParity:
    """The results of one plan."""

    plan: Plan
    limits: Limits
    """The limits that held for this plan and network."""
    differences: dict[str, Difference] = field(default_factory=dict)
    """The differences by kind of latents, "ordinary" and "extreme"."""
    same_in_any_batch: bool = False
    least_rows: int = 1
    """The rows of the smallest batch that a session runs; it pads a smaller one."""
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

    @property
    def any_batch(self) -> str:
        """Return in words whether the same latents gave the same bits in every batch."""
        if not self.same_in_any_batch:
            return "DIFFERS"
        return "same" if self.least_rows == 1 else f"same, padded to {self.least_rows} rows"

    def facts(self) -> dict[str, Any]:
        """Return the results and the limits, as JSON."""
        return {
            **{kind: asdict(difference) for kind, difference in self.differences.items()},
            "same_in_any_batch": self.same_in_any_batch,
            "least_rows": self.least_rows,
            "limits": asdict(self.limits),
        }


@dataclass
class Report:
    """The results of all plans, and every miss."""

    probes: list[Probe]
    wanted: Bytes | None = field(default=None, repr=False)
    """The SavedModel's images of all probes, rounded to uint8; None if not all are finite."""
    plans: list[PlanParity] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)
    rounding: dict[str, float] | None = None
    """How far float32 by itself moves the images, by kind of latents, range [-1, 1]."""
    float_difference: dict[str, float] = field(default_factory=dict)
    """The largest difference before the head by kind of latents, range [-1, 1]."""
    misses: list[str] = field(default_factory=list)
    """The texts of the misses that stop the export."""
    refused: dict[str, str] = field(default_factory=dict)
    """The plans, such as "openvino/f32", that must not serve this graph, each with the reason."""
    not_measured: dict[str, str] = field(default_factory=dict)
    """The plans that a server may choose elsewhere, each with the reason why it was not tried."""

    def images(self, plan: Plan) -> Bytes:
        """Return the images of ``plan``, uint8 [rows of all probes, height, width, channels]."""
        for parity in self.plans:
            if parity.plan == plan and parity.images is not None:
                return parity.images
        raise KeyError(f"{plan} drew nothing")

    def latents(self) -> str:
        """Return the number of latents in words, and why there are fewer than for small images."""
        count = sum(len(probe.latents) for probe in self.probes)
        why = "" if count >= ROWS else f", not {ROWS:,}, which would be too much for such images"
        return f"{count:,} latents{self._of_classes()}{why}"

    @property
    def class_count(self) -> int:
        """Return the number of the generator's classes, 0 of an unconditional one."""
        return max((probe.class_count for probe in self.probes), default=0)

    def _of_classes(self) -> str:
        """Return in words of how many classes images were compared."""
        if not self.class_count:
            return ""
        shown = len({number for probe in self.probes for number in probe.latents[:, -1]})
        which = "all" if shown == self.class_count else f"{shown:,} of"
        return f" of {which} {self.class_count:,} classes"

    def least_rows(self) -> dict[str, int]:
        """Return the rows of the smallest batch by plan, where that is not one."""
        return {str(x.plan): x.least_rows for x in self.plans if x.least_rows > 1}

    def facts(self) -> dict[str, Any]:
        """Return the report that ``parity.json`` holds."""
        return {
            "reference": "the SavedModel in TensorFlow, rounded half to even to uint8",
            "latents": self.latents(),
            **({"classes": self.class_count} if self.class_count else {}),
            "probes": {probe.name: len(probe.latents) for probe in self.probes},
            "batch_sizes": self.batch_sizes,
            "rounding": self.rounding,
            "float_difference": self.float_difference,
            "plans": {parity.label: parity.facts() for parity in self.plans},
            "refused": self.refused,
            "not_measured": self.not_measured,
            "misses": self.misses,
        }

    def table(self) -> str:
        """Return the report as text: a line for each plan and kind of latents."""
        lines = [f"{'plan':15}{'latents':10}{'max':>5}{'mean':>9}{'>1':>9}{'PSNR':>9}  any batch"]
        for parity in self.plans:
            for kind, d in parity.differences.items():
                row = f"{parity.label:15}{kind:10}{d.levels:5}{d.mean_levels:9.5f}"
                row += f"{d.share_above_one:9.3%}{d.psnr_db:6.1f} dB"
                lines.append(f"{row}  {parity.any_batch}")
        lines.append(self.latents())
        lines += [f"{plan} will not serve: {why}" for plan, why in self.refused.items()]
        lines += [f"{plan} was not measured: {why}" for plan, why in self.not_measured.items()]
        return "\n".join(lines)

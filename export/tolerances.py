"""The tolerances: how far a plan's images may be from the SavedModel's, and why no further.

Ordinary latents are those that seeds give. Extreme latents are larger than those of any seed, and
so are their sums and rounding errors, several times over. The limits are two to three times the
measured differences, so that another processor passes; every planted fault in the tests lies far
outside them. A network whose own rounding is larger, see ``rounding``, gets wider limits in
float32, up to a tenth of a grey level.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from export.head import HALF_RANGE
from server.runtime.plans import Plan


@dataclass(frozen=True)
class Tolerance:
    """The limits on one kind of latents; all must hold."""

    levels: int
    """The largest difference of a pixel, in grey levels."""
    mean_levels: float
    """The largest mean absolute difference, in grey levels."""
    share_above_one: float
    """The largest share of values that are off by more than one grey level, 0 to 1."""
    psnr_db: float
    """The smallest peak signal-to-noise ratio, in decibels."""
    floats: float | None = None
    """The largest difference of the float images before the head, range [-1, 1]; None except in
    float32. A byte may then differ only where the SavedModel's value is this near to a rounding
    boundary."""


@dataclass(frozen=True)
class Limits:
    """The limits of one plan."""

    ordinary: Tolerance
    extreme: Tolerance
    any_batch: bool = True
    """Whether the same latents must give the same bits in every batch."""

    def of(self, kind: str) -> Tolerance:
        """Return the limits on "ordinary" or on "extreme" latents."""
        return {"ordinary": self.ordinary, "extreme": self.extreme}[kind]


F32 = Limits(
    ordinary=Tolerance(levels=1, mean_levels=0.005, share_above_one=0.0, psnr_db=70.0, floats=1e-5),
    extreme=Tolerance(levels=1, mean_levels=0.005, share_above_one=0.0, psnr_db=70.0, floats=5e-5),
)
"""The limits in float32, where only the order of summation differs from TensorFlow's: 5e-6 was
measured before the head, 1.5e-5 on extreme latents. Other networks' are wider, see ``limits``."""

SAFETY = 2.0
"""The difference before the head that is allowed, by the rounding of the network."""
MOST_FLOATS = 0.1 / HALF_RANGE
"""The largest difference before the head that any network may have: a tenth of a grey level."""

BF16 = Limits(
    ordinary=Tolerance(levels=6, mean_levels=0.5, share_above_one=0.02, psnr_db=48.0),
    extreme=Tolerance(levels=16, mean_levels=1.0, share_above_one=0.05, psnr_db=45.0),
)
"""The limits in bfloat16, whose mantissa has eight bits: every weight and activation is off by up
to one part in 512."""

TF32 = Limits(BF16.ordinary, BF16.extreme, any_batch=False)
"""The limits in float32 on CUDA, which multiplies in TF32 unless told otherwise, finer than bf16 by
two bits. CUDA picks its kernels by the batch size, so a bit may change with the batch."""

F16 = Limits(
    ordinary=Tolerance(levels=2, mean_levels=0.06, share_above_one=0.0001, psnr_db=60.0),
    extreme=Tolerance(levels=3, mean_levels=0.12, share_above_one=0.001, psnr_db=56.0),
    any_batch=False,
)
"""The limits in float16, whose mantissa has eleven bits, with sums in float32 on a GPU. A GPU picks
its kernels by the batch size."""

INT8 = BF16
"""The limits in int8, which are those of bfloat16: images that are good enough to be served by
default in one reduced precision are good enough in another."""

EXACT = Limits(
    ordinary=Tolerance(levels=6, mean_levels=0.5, share_above_one=0.02, psnr_db=52.0),
    extreme=Tolerance(levels=255, mean_levels=4.0, share_above_one=0.2, psnr_db=25.0),
)
"""The limits of the exact variant, whose values are whole numbers of twelve bits in every layer:
52.6 dB and four levels were measured with version 2 of the default generator. Activations are cut
off where those of seeds end, so latents that no seed gives may draw other images."""

GOLDEN_LEVELS = max(F32.ordinary.levels, BF16.ordinary.levels)
"""The manifest's tolerance in grey levels. Golden images come from seeds, so the widest limit on
ordinary latents is the smallest tolerance with which every plan that passed here may serve."""


def limits(plan: Plan, rounding: Mapping[str, float] | None = None) -> Limits:
    """Return the limits of ``plan`` for a network with this ``rounding`` by kind of latents."""
    if plan.provider == "cuda" and plan.precision == "f32":
        return TF32
    found = {"bf16": BF16, "f16": F16, "int8": INT8, "exact": EXACT}.get(plan.precision, F32)
    if rounding is None or found is not F32:
        return found
    ordinary, extreme = (_widened(F32.of(kind), rounding[kind]) for kind in ("ordinary", "extreme"))
    return Limits(ordinary, extreme)


def _widened(tolerance: Tolerance, rounding: float) -> Tolerance:
    """Return ``tolerance`` with room for a network's rounding.

    Where floats are off by that much, as large a share of the bytes may be off by one.
    """
    floats = min(SAFETY * rounding, MOST_FLOATS)
    if tolerance.floats is None or floats <= tolerance.floats:
        return tolerance
    off = floats * HALF_RANGE
    return replace(
        tolerance,
        floats=floats,
        mean_levels=max(tolerance.mean_levels, off),
        psnr_db=min(tolerance.psnr_db, 10 * math.log10(255.0**2 / off)),
    )

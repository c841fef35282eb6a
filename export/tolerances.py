"""The tolerances: how far a plan's images may be from the SavedModel's, and why no further.

Ordinary latents are those that seeds give. Extreme latents are larger than those of any seed, and
so are their sums and rounding errors, several times over. The limits are two to three times the
measured differences, so that another processor passes; every planted fault in the tests lies far
outside them.
"""

from dataclasses import dataclass

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


F32 = Limits(
    ordinary=Tolerance(levels=1, mean_levels=0.005, share_above_one=0.0, psnr_db=70.0, floats=1e-5),
    extreme=Tolerance(levels=1, mean_levels=0.005, share_above_one=0.0, psnr_db=70.0, floats=5e-5),
)
"""The limits in float32, where only the order of summation differs from TensorFlow's: 5e-6 was
measured before the head, 1.5e-5 on extreme latents."""

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

GOLDEN_LEVELS = max(F32.ordinary.levels, BF16.ordinary.levels)
"""The manifest's tolerance in grey levels. Golden images come from seeds, so the widest limit on
ordinary latents is the smallest tolerance with which every plan that passed here may serve."""


def limits(plan: Plan) -> Limits:
    """Return the limits of ``plan``."""
    if plan.provider == "cuda" and plan.precision == "f32":
        return TF32
    return {"bf16": BF16, "f16": F16, "int8": INT8}.get(plan.precision, F32)

"""How far from the SavedModel a plan may draw, and why no further.

Ordinary latents are those that seeds give; extreme ones lie where no seed reaches, with sums and
so rounding errors several times larger. The limits are two to three times what was measured, so
that another processor passes; every planted fault in the tests lies far outside them.
"""

from dataclasses import dataclass

from server.runtime.plans import Plan


@dataclass(frozen=True)
class Tolerance:
    """The limits on one kind of latents; all must hold."""

    levels: int
    """Largest difference of a pixel, in grey levels."""
    mean_levels: float
    """Mean absolute difference, in grey levels."""
    share_above_one: float
    """Share of values that are off by more than one grey level."""
    psnr_db: float
    """Least peak signal-to-noise ratio."""
    floats: float | None = None
    """In float32: largest difference of the images before the head, range [-1, 1]. A byte may
    then differ only where the SavedModel's value is this near to a rounding boundary."""


@dataclass(frozen=True)
class Limits:
    """What is asked of one plan."""

    ordinary: Tolerance
    extreme: Tolerance
    any_batch: bool = True
    """The same latents must give the same bits in every batch."""


F32 = Limits(
    ordinary=Tolerance(levels=1, mean_levels=0.005, share_above_one=0.0, psnr_db=70.0, floats=1e-5),
    extreme=Tolerance(levels=1, mean_levels=0.005, share_above_one=0.0, psnr_db=70.0, floats=5e-5),
)
"""Both sides round in float32, in another order of summation: 5e-6 measured, 1.5e-5 on extremes."""

BF16 = Limits(
    ordinary=Tolerance(levels=6, mean_levels=0.5, share_above_one=0.02, psnr_db=48.0),
    extreme=Tolerance(levels=16, mean_levels=1.0, share_above_one=0.05, psnr_db=45.0),
)
"""Eight bits of mantissa: every weight and activation is off by up to one part in 512."""

TF32 = Limits(BF16.ordinary, BF16.extreme, any_batch=False)
"""CUDA multiplies in TF32 unless told otherwise, finer than bf16 by two bits, and picks its
kernels by the batch size, so a bit may change with the batch."""

F16 = Limits(
    ordinary=Tolerance(levels=2, mean_levels=0.06, share_above_one=0.0001, psnr_db=60.0),
    extreme=Tolerance(levels=3, mean_levels=0.12, share_above_one=0.001, psnr_db=56.0),
    any_batch=False,
)
"""Eleven bits of mantissa, and sums in float32 on a GPU. Kernels go by the batch size there."""

INT8 = BF16
"""What is good enough to be served by default in one reduced precision is so in another."""

GOLDEN_LEVELS = max(F32.ordinary.levels, BF16.ordinary.levels)
"""The manifest's tolerance, grey levels. Golden images come from seeds, so the widest limit on
ordinary latents is the least that lets every plan serve which passed here."""


def limits(plan: Plan) -> Limits:
    """Return what is asked of ``plan``."""
    if plan.provider == "cuda" and plan.precision == "f32":
        return TF32
    return {"bf16": BF16, "f16": F16, "int8": INT8}.get(plan.precision, F32)

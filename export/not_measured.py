"""The plans of other hosts and settings, which an export names where it cannot prove them."""

from collections.abc import Iterable

import onnxruntime as ort

from server.runtime.plans import EP_NAMES, Plan

GPUS = ("cuda", "tensorrt", "tensorrt-rtx")
"""The providers that serve on a GPU."""
DOCUMENTED = (
    *(Plan(provider, precision) for provider in GPUS for precision in ("f16", "f32")),
    Plan("openvino", "bf16"),
    Plan("openvino", "f32"),
    Plan("cpu", "f32"),
)
"""Every plan that a server chooses in an environment of this project, or is asked to try."""


def not_measured(proven: Iterable[Plan]) -> dict[str, str]:
    """Return the documented plans that are not among ``proven``, each with the reason.

    Wherever one of them serves, the server has held it against the golden images first.
    """
    there = set(proven)
    return {str(plan): _reason(plan) for plan in DOCUMENTED if plan not in there}


def _reason(plan: Plan) -> str:
    name = EP_NAMES.get(plan.provider)
    if name not in (None, *ort.get_available_providers()):
        return f"this environment's ONNX Runtime has no {name}"
    if plan.compiles:
        return "it compiles for minutes on a GPU, and serves only where a setting asks for it"
    if plan.precision == "f16":
        return "it needs the variant fp16, which has a parity check of its own"
    if plan.precision == "bf16":
        return "this host's processor does not multiply in bfloat16"
    return "no server on this host would choose it"

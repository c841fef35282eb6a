"""The ways to run a bundle on this host, best first, and why."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import onnxruntime as ort

from server.bundle.manifest import FLOATS, GRADIENT, Manifest
from server.config import COMPILERS, GPU_PROVIDERS

VARIANT = "fp32"
"""The variant that every bundle has; bf16 is it too, with a hint to the provider."""
EXACT = "exact"
"""The precision whose bytes are the same on every processor; it has to be asked for."""
VARIANTS = {"f16": "fp16", "int8": "int8", EXACT: "exact"}
"""Precisions that need a graph of their own, and the variant that has it."""


EP_NAMES = {
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""ONNX Runtime's names of the providers that may be built into it."""


class SessionError(Exception):
    """No session that may serve: no provider takes the model, or its images are wrong."""


@dataclass(frozen=True)
class Plan:
    """One way to run the model on this host."""

    provider: str
    precision: str
    reason: str = field(default="", compare=False)
    """The reason why the plan is tried, in words."""
    floats: bool = False
    """Whether the plan runs the bundle's graph of float images, which is in float32."""
    gradient: bool = False
    """Whether the plan runs the graph of the bundle's gradient, which is in float32."""

    def __str__(self) -> str:
        return f"{self.provider}/{self.precision}"

    @property
    def listed_as(self) -> str:
        """What a manifest calls it: TensorRT may serve what CUDA may, once it is self-tested."""
        return f"cuda/{self.precision}" if self.on_gpu else str(self)

    @property
    def on_gpu(self) -> bool:
        """Whether it needs a GPU."""
        return self.provider in GPU_PROVIDERS

    @property
    def compiles(self) -> bool:
        """Whether its provider compiles the graph, for minutes, before it runs."""
        return self.provider in COMPILERS

    @property
    def variant(self) -> str:
        """The variant of the bundle that it runs."""
        if self.gradient:
            return GRADIENT
        return FLOATS if self.floats else VARIANTS.get(self.precision, VARIANT)


def choose_plans(
    provider: str = "auto",
    precision: str = "auto",
    manifest: Manifest | None = None,
    fallback: bool = False,
) -> list[Plan]:
    """Return the plans to try, best first; a setting other than ``auto`` is never departed from.

    Unless ``fallback`` allows it: the others come after those that were asked for.

    Only plans for which ``manifest`` has a variant; None stands for one with fp32 alone. On two
    cores with AMX the plain graph ran at 6,300 to 7,700 images/s with OpenVINO in bf16, 1,250 to
    1,400 in f32, and 750 to 840 with ONNX Runtime's own CPU provider.

    Raises:
        SessionError: there is none.
    """
    plans = [plan for plan in _known(provider, precision) if _offered(plan, manifest)]
    chosen = [p for p in plans if provider in ("auto", p.provider)]
    chosen = [p for p in chosen if precision in ("auto", p.precision)]
    if not chosen:
        has = ", ".join(map(str, plans))
        raise SessionError(f"provider {provider} has no precision {precision} here; there is {has}")
    asked = [
        f"{k} is {v}" for k, v in (("provider", provider), ("precision", precision)) if v != "auto"
    ]
    if not asked:
        return chosen
    others = [replace(p, reason=f"a fallback: {p.reason}") for p in plans if p not in chosen]
    chosen = [replace(p, reason=f"the setting {' and '.join(asked)}") for p in chosen]
    return chosen + (others if fallback else [])


def float_plans(served: Plan, fallback: bool) -> list[Plan]:
    """Return the plans to try for the float images of a bundle that is ``served``, best first.

    They are in float32, whatever precision is served: with the same provider, and after that, with
    ``fallback``, with ONNX Runtime's own, which runs everywhere. What TensorRT would compile for
    minutes, in TF32, CUDA runs.
    """
    provider = "cuda" if served.provider == "tensorrt" else served.provider
    plans = [Plan(provider, "f32", f"float images, beside {served}", floats=True)]
    if fallback and provider != "cpu":
        plans.append(Plan("cpu", "f32", f"float images; {provider} could not", floats=True))
    return plans


def gradient_plans(served: Plan) -> list[Plan]:
    """Return the plans to try for the gradient of a bundle that is ``served``, best first.

    ONNX Runtime's own provider runs it everywhere, whatever is served: no other but CUDA was ever
    tried with it.
    """
    providers = ("cuda", "cpu") if served.on_gpu else ("cpu",)
    return [Plan(x, "f32", f"gradients, beside {served}", gradient=True) for x in providers]


def _known(provider: str, precision: str) -> Iterator[Plan]:
    """Yield every plan that this host may be able to run, and those that are asked for."""
    if provider == "cuda" or EP_NAMES["cuda"] in ort.get_available_providers():
        yield Plan("cuda", "f16", "onnxruntime has CUDA, and the bundle a graph in float16")
        yield Plan("cuda", "f32", "onnxruntime has CUDA")
    if provider in COMPILERS:  # never by itself: it compiles for minutes, unmeasured here
        yield Plan(provider, "f16", "TensorRT compiles the bundle's graph in float16")
        yield Plan(provider, "f32", "TensorRT compiles the graph")
    families = [_on_cpu(precision)]
    if provider == "openvino" or EP_NAMES["openvino"] in ort.get_available_providers():
        bf16 = has_bf16()
        if bf16 or precision == "bf16":
            yield Plan("openvino", "bf16", f"the processor multiplies in bfloat16 ({bf16})")
        is_faster = is_intel() or precision == EXACT
        families.insert(0 if is_faster else 1, _on_openvino(precision))
    yield from chain.from_iterable(families)


def _on_openvino(precision: str) -> Iterator[Plan]:
    """Yield OpenVINO's plans that want no bfloat16, as every processor can run them.

    Intel's run them faster than ONNX Runtime's own provider does. On an EPYC in float32 OpenVINO
    drew 0.8 times as many images in batches of one, and as many from 32 on. An exact graph it runs
    faster everywhere: roundings are part of its convolutions.
    """
    if precision == EXACT:
        yield Plan("openvino", EXACT, "the bundle has a graph with the same bytes everywhere")
    yield Plan("openvino", "int8", "the bundle has a graph in int8 that was faster than f32")
    yield Plan("openvino", "f32", "OpenVINO runs float32 here")


def _on_cpu(precision: str) -> Iterator[Plan]:
    if precision == EXACT:
        yield Plan("cpu", EXACT, "the bundle has a graph with the same bytes everywhere")
    yield Plan("cpu", "int8", "the bundle has a graph in int8 that was faster than f32")
    yield Plan("cpu", "f32", "onnxruntime's own, which runs everywhere")


def _offered(plan: Plan, manifest: Manifest | None) -> bool:
    if manifest is None:
        return plan.variant == VARIANT
    return any(
        variant.name == plan.variant and plan.listed_as in (variant.plans or [plan.listed_as])
        for variant in manifest.variants
    )


def has_bf16() -> str:
    """Return the instructions that multiply in bfloat16 on this processor; empty if none do."""
    flags = _cpuinfo()
    return next((name for name in ("amx_bf16", "avx512_bf16") if name in flags), "")


def is_intel() -> bool:
    """Tell whether Intel made this processor."""
    return "GenuineIntel" in _cpuinfo()


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""

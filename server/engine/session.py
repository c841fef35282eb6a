"""ONNX Runtime on one bundle: which provider, in which precision, warmed and self-tested."""

import ctypes
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from server.bundle import Bundle, Manifest
from server.engine.bound import Bound, cuda_options
from server.latents import latents

log = logging.getLogger(__name__)

EP_NAMES = {
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
CUDA_DEVICE = ("cuda", 0)
"""The first GPU that is visible; ``CUDA_VISIBLE_DEVICES`` says which that is."""
NHWC = False
"""Whether CUDA's convolutions take the channels last; not measured yet."""
VARIANT = "fp32"
"""The variant that every bundle has; bf16 is it too, with a hint to the provider."""
VARIANTS = {"f16": "fp16", "int8": "int8"}
"""Precisions that need a graph of their own, and the variant that has it."""


class SessionError(Exception):
    """No session that may serve: no provider takes the model, or its images are wrong."""


@dataclass(frozen=True)
class Plan:
    """One way to run the model on this host."""

    provider: str
    precision: str
    reason: str = field(default="", compare=False)
    """Why it is tried, in words."""

    def __str__(self) -> str:
        return f"{self.provider}/{self.precision}"

    @property
    def variant(self) -> str:
        """The variant of the bundle that it runs."""
        return VARIANTS.get(self.precision, VARIANT)


class Session:
    """One ONNX Runtime session: latents float32 [N, latent_dim] to images uint8 [N, H, W, C]."""

    def __init__(self, path: Path, plan: Plan, threads: int) -> None:
        self.plan = plan
        graphs = False
        if plan.provider == "cuda":
            self._ort, graphs = _create_on_cuda(path, threads)
        else:
            self._ort = _create(path, plan, threads)
        latents, images = self._ort.get_inputs()[0], self._ort.get_outputs()[0]
        self._input, self._outputs = latents.name, [images.name]
        self._bound: Bound | None = None
        if plan.provider == "cuda":
            self._bound = Bound(self._ort, CUDA_DEVICE, latents.shape[1], images.shape[1:], graphs)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the images of ``batch``. The same latents give the same bits in any batch.

        Not so on CUDA, which has other kernels for other sizes.
        """
        if self._bound:
            return self._bound.run(batch)
        images: NDArray[np.uint8] = self._ort.run(self._outputs, {self._input: batch})[0]
        return images

    def warm_up(self, max_batch_size: int, latent_dim: int) -> None:
        """Run the batch sizes that will be served, so that no request pays for the first time.

        OpenVINO compiles each one, and on CUDA each bucket is recorded; the CPU takes a new one as
        it comes.
        """
        if self._bound:
            self._bound.prepare(max_batch_size)
            return
        every = 64 if self.plan.provider == "openvino" else 1
        for rows in warm_sizes(max_batch_size, every):
            self.run(np.zeros((rows, latent_dim), np.float32))
            give_back_memory()  # each time: at the end only, the peak is four times as high


def give_back_memory() -> None:
    """Return what is freed to the system: a gigabyte of the 1.3 that two warm sessions hold is."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim:
        trim(0)


def open_session(bundle: Bundle, plans: list[Plan], threads: int) -> tuple[Session, list[Plan]]:
    """Return a session for the first of ``plans`` that works here, and the plans that did not.

    A plan works when its provider takes the whole graph and draws the golden images.

    Raises:
        SessionError: none of them works; the message has the reason of each.
    """
    failed: list[Plan] = []
    reasons: list[str] = []
    for plan in plans:
        try:
            variant = bundle.manifest.variant(plan.variant)
            if str(plan) in variant.refused:
                raise SessionError("its images changed with the batch when the bundle was proven")
            session = Session(bundle.path / variant.file, plan, threads)
            self_test(session, bundle)
            return session, failed
        except Exception as error:  # whatever a provider raises, the next plan may still work
            log.warning("%s in %s cannot serve: %s", plan.provider, plan.precision, error)
            failed.append(plan)
            reasons.append(f"{plan.provider} in {plan.precision}: {error}")
    raise SessionError("no runtime can serve this bundle: " + "; ".join(reasons))


def self_test(session: Session, bundle: Bundle) -> int:
    """Draw the golden seeds and return the largest difference to the golden images, in grey levels.

    Raises:
        SessionError: the difference is more than the manifest's tolerance.
    """
    manifest = bundle.manifest
    images = session.run(latents(manifest.golden.seeds, manifest.latents.dim))
    golden = bundle.golden_images()
    if images.shape != golden.shape or images.dtype != golden.dtype:
        raise SessionError(f"it draws {images.dtype} {images.shape}, not uint8 {golden.shape}")
    worst = int(np.abs(images.astype(np.int16) - golden.astype(np.int16)).max())
    if worst > manifest.golden.tolerance:
        raise SessionError(
            f"its golden images are off by {worst} grey levels "
            f"(tolerance {manifest.golden.tolerance})"
        )
    return worst


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


def _known(provider: str, precision: str) -> Iterator[Plan]:
    """Yield every plan that this host may be able to run, and those that are asked for."""
    if provider == "cuda" or "CUDAExecutionProvider" in ort.get_available_providers():
        yield Plan("cuda", "f16", "onnxruntime has CUDA, and the bundle a graph in float16")
        yield Plan("cuda", "f32", "onnxruntime has CUDA")
    bf16 = has_bf16()
    if bf16 or precision == "bf16":
        yield Plan("openvino", "bf16", f"the processor multiplies in bfloat16 ({bf16})")
    yield Plan("openvino", "int8", "the bundle has a graph in int8 that was faster than f32")
    yield Plan("openvino", "f32", "the fastest without bfloat16")
    yield Plan("cpu", "int8", "the bundle has a graph in int8 that was faster than f32")
    yield Plan("cpu", "f32", "onnxruntime's own, which runs everywhere")


def _offered(plan: Plan, manifest: Manifest | None) -> bool:
    if manifest is None:
        return plan.variant == VARIANT
    return any(
        variant.name == plan.variant and str(plan) in (variant.plans or [str(plan)])
        for variant in manifest.variants
    )


def has_bf16() -> str:
    """Return the instructions that multiply in bfloat16 on this processor; empty if none do."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return next((name for name in ("amx_bf16", "avx512_bf16") if name in flags), "")


def warm_sizes(max_batch_size: int, every: int) -> Iterator[int]:
    """Yield the batch sizes to warm: all up to ``every``, twice as many beyond, the largest."""
    yield from range(1, min(every, max_batch_size) + 1)
    rows = 2 * every
    while rows < max_batch_size:
        yield rows
        rows *= 2
    if max_batch_size > every:
        yield max_batch_size


def _create(path: Path, plan: Plan, threads: int) -> Any:
    options = _options()
    if plan.provider == "openvino":
        # Half a graph on another provider would be slow, and nobody would know.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        options.intra_op_num_threads = 1  # OpenVINO has threads of its own
        options.add_provider_for_devices(_openvino_devices(), _openvino_options(plan, threads))
        return ort.InferenceSession(str(path), options)
    options.intra_op_num_threads = threads
    return _checked(path, options, EP_NAMES[plan.provider], {})


def _create_on_cuda(path: Path, threads: int) -> tuple[Any, bool]:
    """Return a session on the GPU, and whether its buckets become CUDA graphs.

    They cannot where ONNX Runtime leaves a node of the graph to the CPU.
    """
    ort.preload_dlls()  # CUDA and cuDNN from their own wheels, where they are installed so
    options = _options()
    options.intra_op_num_threads = threads
    name, device_id = EP_NAMES["cuda"], CUDA_DEVICE[1]
    try:
        return _checked(path, options, name, cuda_options(device_id, True, NHWC)), True
    except SessionError:
        raise
    except Exception as error:
        log.warning("no CUDA graphs: %s", error)
        return _checked(path, options, name, cuda_options(device_id, False, NHWC)), False


def _checked(path: Path, options: Any, provider: str, settings: dict[str, str]) -> Any:
    """Return a session on ``provider``; ONNX Runtime would be content with another.

    Raises:
        SessionError: it is another.
    """
    if provider not in ort.get_available_providers():
        there = ", ".join(ort.get_available_providers())
        raise SessionError(f"asked for {provider}, this ONNX Runtime has {there}")
    session = ort.InferenceSession(str(path), options, providers=[(provider, settings)])
    if session.get_providers()[0] != provider:
        raise SessionError(f"asked for {provider}, got {session.get_providers()}")
    return session


def _options() -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Threads that spin while they wait would take the processors from the HTTP workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _openvino_devices() -> list[Any]:
    import onnxruntime_ep_openvino as plugin  # not there in the GPU image

    name = EP_NAMES["openvino"]
    if not any(device.ep_name == name for device in ort.get_ep_devices()):
        ort.register_execution_provider_library("openvino", plugin.get_library_path())
    cpu = ort.OrtHardwareDeviceType.CPU
    found = [d for d in ort.get_ep_devices() if d.ep_name == name and d.device.type == cpu]
    if not found:
        raise SessionError("the OpenVINO plugin finds no CPU device")
    return found[:1]


def _openvino_options(plan: Plan, threads: int) -> dict[str, str]:
    cpu = {
        "INFERENCE_PRECISION_HINT": plan.precision,
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",
    }
    return {"load_config": json.dumps({"CPU": cpu})}

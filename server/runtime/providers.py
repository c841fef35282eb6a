"""ONNX Runtime's execution providers: a session on each, with the options that it is served with.

An option that is asked for and cannot be had is an error: ONNX Runtime would be content with less.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from server.bundle import volume
from server.bundle.external_data import external_files
from server.bundle.files import MOST_BYTES
from server.bundle.regular_files import read_whole
from server.runtime.plans import EP_NAMES, EXACT, Plan, SessionError
from server.runtime.plugins import NoDevice, tensorrt_rtx_gpu
from server.runtime.tensor_layout import faster_layout

log = logging.getLogger(__name__)

CUDA_DEVICE = ("cuda", 0)
"""The first GPU that is visible; an engine sees its own only."""
TENSORRT_ROWS = {"min": 1, "opt": 256, "max": 1024}
"""Batch sizes that TensorRT compiles for."""


@dataclass(frozen=True)
class Opened:
    """A session of ONNX Runtime, and what a caller has to know of it."""

    session: Any
    device: tuple[str, int] | None = None
    """The device on which inputs and outputs may stay; None leaves copying to ONNX Runtime."""
    graphs: bool = False
    """Whether each bucket of fixed size becomes a CUDA graph."""


def open_provider(
    path: Path, plan: Plan, threads: int, cache: Path | None = None, spins: bool = False
) -> Opened:
    """Return a session of the graph at ``path`` as ``plan`` says, on ``threads`` threads.

    ``cache`` is a folder for what a provider compiles. Where ``spins``, threads of ONNX Runtime's
    own provider wait awake, for each other and a little for the next batch.

    Raises:
        SessionError: the provider is not there, or does not take the graph.
        Exception: what ONNX Runtime raises.
    """
    if plan.provider == "openvino":
        return Opened(_openvino(path, plan, threads))
    options = _options(threads, spins and plan.provider == "cpu")
    if plan.provider == "cuda":
        note = cache and cache / "-".join(["layout", *path.parts[-3:-1], path.stem])
        exact = plan.floats or plan.gradient
        return _cuda(path, options, note, tf32=not exact, may_record=not plan.gradient)
    if plan.provider == "tensorrt":
        return Opened(_tensorrt(path, plan, options, cache), CUDA_DEVICE)
    if plan.provider == "tensorrt-rtx":
        return Opened(_tensorrt_rtx(path, options, cache))
    return Opened(_checked(_graph(path), options, [(EP_NAMES[plan.provider], {})]))


def _openvino(path: Path, plan: Plan, threads: int) -> Any:
    """Return a session on OpenVINO, which leaves two casts to ONNX Runtime's own provider."""
    providers = [(EP_NAMES["openvino"], openvino_options(plan, threads))]
    return _checked(_graph(path), _options(), providers)  # it has threads of its own


def _cuda(path: Path, options: Any, note: Path | None, tf32: bool, may_record: bool) -> Opened:
    """Return a session on the GPU, in the layout that is faster there, see ``tensor_layout``.

    With CUDA graphs where it ``may_record``, unless ONNX Runtime leaves a node of the graph to the
    CPU.
    """
    graph = _graph(path)
    ort.preload_dlls()  # CUDA and cuDNN from their own wheels, where they are installed so

    def opened(graphs: bool, nhwc: bool) -> Opened:
        settings = cuda_options(CUDA_DEVICE[1], graphs, nhwc, tf32)
        session = _checked(graph, options, [(EP_NAMES["cuda"], settings)])
        return Opened(session, CUDA_DEVICE, graphs)

    def prepare(nhwc: bool) -> Callable[[int], object]:
        session = opened(graphs=False, nhwc=nhwc).session
        return lambda rows: session.run(None, _zeros(session, rows))

    _check_there(EP_NAMES["cuda"])
    nhwc = faster_layout(prepare, note)
    try:
        return opened(graphs=may_record, nhwc=nhwc)
    except SessionError:
        raise
    except Exception as error:
        log.warning("no CUDA graphs: %s", error)
        return opened(graphs=False, nhwc=nhwc)


def _tensorrt(path: Path, plan: Plan, options: Any, cache: Path | None) -> Any:
    ort.preload_dlls()
    cuda = (EP_NAMES["cuda"], cuda_options(CUDA_DEVICE[1], graphs=False, nhwc=False))
    providers = [(EP_NAMES["tensorrt"], tensorrt_options(path, plan.precision, cache)), cuda]
    return _checked(str(path), _whole_graph(options), providers)


def _tensorrt_rtx(path: Path, options: Any, cache: Path | None) -> Any:
    try:
        device = tensorrt_rtx_gpu()
    except NoDevice as error:
        raise SessionError(str(error)) from error
    _whole_graph(options).add_provider_for_devices([device], tensorrt_rtx_options(path, cache))
    return ort.InferenceSession(str(path), options)


def openvino_options(plan: Plan, threads: int) -> dict[str, str]:
    """Return the options of OpenVINO on ``threads`` threads of the processor.

    Source: OpenVINO's documentation of its CPU device.
    """
    cpu = {
        # The sums of an exact graph are exact in float32 alone.
        "INFERENCE_PRECISION_HINT": "f32" if plan.precision == EXACT else plan.precision,
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",
    }
    return {"device_type": "CPU", "load_config": json.dumps({"CPU": cpu})}


def cuda_options(device_id: int, graphs: bool, nhwc: bool, tf32: bool = True) -> dict[str, str]:
    """Return the options of ONNX Runtime's CUDA provider.

    Without ``tf32`` it multiplies in float32, not in TF32, whose mantissa has ten bits.

    Source: ONNX Runtime's documentation of the CUDA execution provider.
    """
    return {
        "device_id": str(device_id),
        "enable_cuda_graph": str(int(graphs)),
        "prefer_nhwc": str(int(nhwc)),
        "use_tf32": str(int(tf32)),
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "arena_extend_strategy": "kSameAsRequested",  # the next power of two may be the whole card
    }


def tensorrt_options(path: Path, precision: str, cache: Path | None) -> dict[str, str]:
    """Return the options of ONNX Runtime's TensorRT provider for the graph at ``path``.

    Source: ONNX Runtime's documentation of the TensorRT execution provider.
    """
    settings = {
        "device_id": str(CUDA_DEVICE[1]),
        "trt_fp16_enable": str(int(precision == "f16")),
        **{f"trt_profile_{x}_shapes": shape for x, shape in _shapes(path).items()},
    }
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        settings |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(cache),
        }
    return settings


def tensorrt_rtx_options(path: Path, cache: Path | None) -> dict[str, str]:
    """Return the options of the TensorRT RTX plugin for the graph at ``path``.

    Source: the plugin's reference of its provider options.
    """
    settings = {f"nv_profile_{x}_shapes": shape for x, shape in _shapes(path).items()}
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        settings["nv_runtime_cache_path"] = str(cache)
    return settings


def _shapes(path: Path) -> dict[str, str]:
    """Return the inputs' shapes that TensorRT compiles for, as ``name:1x100``."""
    graph = ort.InferenceSession(str(path), _options(), providers=[EP_NAMES["cpu"]])
    inputs = [(x.name, x.shape[1:]) for x in graph.get_inputs()]

    def told(rows: int) -> str:
        return ",".join(f"{name}:{'x'.join(map(str, [rows, *rest]))}" for name, rest in inputs)

    return {x: told(rows) for x, rows in TENSORRT_ROWS.items()}


def _zeros(session: Any, rows: int) -> dict[str, NDArray[Any]]:
    """Return zeros for each input of ``session``: latents, and classes or cotangents if any."""
    return {
        x.name: np.zeros((rows, *x.shape[1:]), np.int64 if "int64" in x.type else np.float32)
        for x in session.get_inputs()
    }


def _graph(path: Path) -> bytes | str:
    """Return what ONNX Runtime opens: the graph at ``path``, or that path if weights lie beside it.

    From a volume that hangs a read of ONNX Runtime's own would never return.

    Raises:
        BundleError: the graph cannot be read.
    """

    def read() -> bytes | str:
        return str(path) if external_files(path) else read_whole(path, MOST_BYTES)

    return volume.read(path, read)


def _checked(graph: bytes | str, options: Any, providers: list[tuple[str, dict[str, str]]]) -> Any:
    """Return a session on the first of ``providers``; ONNX Runtime would be content with another.

    Raises:
        SessionError: it is another.
    """
    wanted = providers[0][0]
    _check_there(wanted)
    session = ort.InferenceSession(graph, options, providers=providers)
    if session.get_providers()[0] != wanted:
        raise SessionError(f"asked for {wanted}, got {session.get_providers()}")
    return session


def _check_there(wanted: str) -> None:
    if wanted not in (there := ort.get_available_providers()):
        raise SessionError(f"asked for {wanted}, this ONNX Runtime has {', '.join(there)}")


def _options(threads: int = 1, spins: bool = False) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait take the processors from the HTTP workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    return options


def _whole_graph(options: Any) -> Any:
    """Refuse half a graph on the CPU: it would be slow, and nobody would know."""
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options

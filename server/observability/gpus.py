"""The visible GPUs and their use, read with NVIDIA's management library (NVML).

Without the library no GPU is found. Unlike CUDA, NVML may be used before a fork.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.config import GPU_PROVIDERS

log = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The name of CUDA's variable that lists, in order, the numbers or names of the visible GPUs."""


@cache
def nvml() -> Any:
    """Return NVML, initialised; None without a GPU or without the library."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return None
    except pynvml.NVMLError as error:
        log.info("no GPU is watched: %s", error)
        return None
    return pynvml


def engines_for(provider: str) -> int:
    """Return how many engines serve with ``provider``: one a visible GPU if it uses GPUs, else 1.

    NVML is shut down again, since the processes forked afterwards open it themselves.
    """
    if provider not in GPU_PROVIDERS and not (provider == "auto" and runtime_has_cuda()):
        return 1
    gpus = len(Gpus.of_this_host().names())
    if library := nvml():
        library.nvmlShutdown()
    nvml.cache_clear()
    return max(1, gpus)


def runtime_has_cuda() -> bool:
    """Tell whether ONNX Runtime is installed with CUDA, without loading it."""
    found = find_spec("onnxruntime")
    folders = found.submodule_search_locations if found else None
    libraries = "capi/*onnxruntime_providers_cuda.*"
    return any(any(Path(folder).glob(libraries)) for folder in folders or [])


def take(number: int) -> None:
    """Leave this process one of the visible GPUs, which it will see as its only one.

    It must be called before CUDA is loaded. A process sees one MIG device at most; with this choice
    every MIG device can have an engine of its own. If there are more engines than GPUs, engines
    share GPUs.
    """
    names = Gpus.of_this_host().names()
    if len(names) > 1:
        os.environ[VISIBLE] = names[number % len(names)]


class Gpus(Collector):
    """The memory and utilisation of each visible GPU, by its place among the visible ones."""

    def __init__(self, library: Any, visible: str | None = None) -> None:
        """``library`` is ``nvml()``; ``visible`` is the value of ``VISIBLE``, None for all GPUs."""
        self._nvml = library
        self._visible = visible

    @classmethod
    def of_this_host(cls) -> "Gpus":
        """Return the GPUs that the environment leaves to this server."""
        return cls(nvml(), os.environ.get(VISIBLE))

    def names(self) -> list[str]:
        """Return the visible GPUs in CUDA's order, as ``CUDA_VISIBLE_DEVICES`` names them."""
        return [name for name, _ in self._found()]

    def collect(self) -> Iterable[Metric]:
        used = GaugeMetricFamily(
            "carfront_gpu_memory_used_bytes",
            "Memory of the GPU that all processes use.",
            labels=["gpu"],
        )
        total = GaugeMetricFamily(
            "carfront_gpu_memory_total_bytes", "Memory of the GPU.", labels=["gpu"]
        )
        busy = GaugeMetricFamily(
            "carfront_gpu_utilization_ratio",
            "Share of the last second in which a kernel ran, 0 to 1; absent for a MIG device.",
            labels=["gpu"],
        )
        for number, (_, handle) in enumerate(self._found()):
            try:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                used.add_metric([str(number)], memory.used)
                total.add_metric([str(number)], memory.total)
                rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
                busy.add_metric([str(number)], rates.gpu / 100)
            except self._nvml.NVMLError as error:  # the GPU is lost, or NVML has no value for it
                log.debug("GPU %d: %s", number, error)
        return [metric for metric in (used, total, busy) if metric.samples]

    def _found(self) -> Iterator[tuple[str, Any]]:
        """Yield the names and NVML handles of the visible GPUs, up to the first unknown name."""
        if self._nvml is None:
            return
        library = self._nvml
        if self._visible is None:
            names = [str(i) for i in range(library.nvmlDeviceGetCount())]
        else:
            names = [name.strip() for name in self._visible.split(",")]
        for name in names:
            try:
                if name.isdecimal():
                    yield name, library.nvmlDeviceGetHandleByIndex(int(name))
                elif name.startswith(("GPU-", "MIG-")):
                    yield name, library.nvmlDeviceGetHandleByUUID(name)
                else:
                    return
            except library.NVMLError:
                return

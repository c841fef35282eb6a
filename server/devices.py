"""What the GPUs are doing, as NVIDIA's management library (NVML) tells it; nothing without it."""

import logging
import os
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)


@cache
def nvml() -> Any:
    """Return NVML, ready to be asked, None where there is no GPU or no library for it."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return None
    except pynvml.NVMLError as error:
        log.info("no GPU is watched: %s", error)
        return None
    return pynvml


class Devices(Collector):
    """Memory and utilisation of each GPU that this server may use, by its number there."""

    def __init__(self, library: Any, visible: str | None = None) -> None:
        """``library`` is ``nvml()``; ``visible`` what ``CUDA_VISIBLE_DEVICES`` says, None all."""
        self._nvml = library
        self._visible = visible

    @classmethod
    def of_this_host(cls) -> "Devices":
        """Return those that the environment leaves to this server."""
        return cls(nvml(), os.environ.get("CUDA_VISIBLE_DEVICES"))

    def collect(self) -> Iterable[Metric]:
        used = GaugeMetricFamily(
            "carfront_gpu_memory_used_bytes", "Of all processes on the GPU.", labels=["gpu"]
        )
        total = GaugeMetricFamily(
            "carfront_gpu_memory_total_bytes", "What the GPU has.", labels=["gpu"]
        )
        busy = GaugeMetricFamily(
            "carfront_gpu_utilization_ratio",
            "Part of the last second or less in which a kernel ran, 0 to 1; not told of a MIG.",
            labels=["gpu"],
        )
        for number, handle in enumerate(self._handles()):
            try:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                used.add_metric([str(number)], memory.used)
                total.add_metric([str(number)], memory.total)
                rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
                busy.add_metric([str(number)], rates.gpu / 100)
            except self._nvml.NVMLError as error:  # lost, or not told of this kind of device
                log.debug("GPU %d: %s", number, error)
        return [metric for metric in (used, total, busy) if metric.samples]

    def _handles(self) -> Iterator[Any]:
        """Yield the visible GPUs in CUDA's order, up to the first name that means none."""
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
                    yield library.nvmlDeviceGetHandleByIndex(int(name))
                elif name.startswith(("GPU-", "MIG-")):
                    yield library.nvmlDeviceGetHandleByUUID(name)
                else:
                    return
            except library.NVMLError:
                return

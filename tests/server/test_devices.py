"""What is told of GPUs, with a stand-in for NVIDIA's library."""

from types import SimpleNamespace

import pytest

from server import devices
from server.devices import Devices


class NVMLError(Exception):
    pass


class FakeNvml:
    """Two GPUs, and a MIG of the first, which tells no utilisation."""

    NVMLError = NVMLError
    gpus = {0: "GPU-a", 1: "GPU-b"}  # noqa: RUF012

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        if index not in self.gpus:
            raise NVMLError("invalid argument")
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in (*self.gpus.values(), "MIG-c"):
            raise NVMLError("not found")
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle):
        size = {"GPU-a": 80, "GPU-b": 40, "MIG-c": 10}[handle]
        return SimpleNamespace(total=size * 2**30, used=size * 2**29)

    def nvmlDeviceGetUtilizationRates(self, handle):
        if handle == "MIG-c":
            raise NVMLError("not supported")
        return SimpleNamespace(gpu={"GPU-a": 87, "GPU-b": 0}[handle])


def told(visible=None, library=FakeNvml):
    metrics = Devices(library and library(), visible).collect()
    return {
        (metric.name, sample.labels["gpu"]): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_memory_and_utilisation_of_every_gpu():
    assert told() == {
        ("carfront_gpu_memory_used_bytes", "0"): 40 * 2**30,
        ("carfront_gpu_memory_total_bytes", "0"): 80 * 2**30,
        ("carfront_gpu_utilization_ratio", "0"): 0.87,
        ("carfront_gpu_memory_used_bytes", "1"): 20 * 2**30,
        ("carfront_gpu_memory_total_bytes", "1"): 40 * 2**30,
        ("carfront_gpu_utilization_ratio", "1"): 0,
    }


@pytest.mark.parametrize(
    ("visible", "totals"),
    [
        ("1", [40]),
        ("1,0", [40, 80]),
        ("GPU-b, 0", [40, 80]),
        ("MIG-c", [10]),
        ("0,-1,1", [80]),
        ("7", []),
        ("NoDevFiles", []),
        ("", []),
    ],
)
def test_only_visible_ones_in_cudas_order(visible, totals):
    found = told(visible)
    name = "carfront_gpu_memory_total_bytes"
    assert [found[name, str(i)] / 2**30 for i in range(len(totals))] == totals
    assert sum(key[0] == name for key in found) == len(totals)


def test_nothing_is_told_of_what_is_not_there():
    assert told(library=None) == {}
    assert devices.nvml() is None or devices.nvml().nvmlDeviceGetCount() >= 0

"""What is told of GPUs, with a stand-in for NVIDIA's library."""

import os
from types import SimpleNamespace

import pytest

from server.observability import gpus
from server.observability.gpus import Gpus


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
    metrics = Gpus(library and library(), visible).collect()
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
    assert gpus.nvml() is None or gpus.nvml().nvmlDeviceGetCount() >= 0


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    library = FakeNvml()
    library.nvmlShutdown = lambda: None
    nvml = lambda: library  # noqa: E731
    nvml.cache_clear = lambda: None
    monkeypatch.setattr(gpus, "nvml", nvml)
    monkeypatch.setattr(gpus, "runtime_has_cuda", lambda: True)


@pytest.mark.parametrize(
    ("provider", "visible", "engines"),
    [
        ("cuda", None, 2),
        ("auto", None, 2),
        ("auto", "1", 1),
        ("cuda", "", 1),  # which then says that there is no GPU
        ("cuda", "MIG-c,GPU-b", 2),
        ("openvino", None, 1),
        ("cpu", None, 1),
    ],
)
def test_every_visible_gpu_has_an_engine(two_gpus, monkeypatch, provider, visible, engines):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.engines_for(provider) == engines


def test_runtime_without_cuda_needs_no_more_than_one_engine(two_gpus, monkeypatch):
    monkeypatch.setattr(gpus, "runtime_has_cuda", lambda: False)
    assert gpus.engines_for("auto") == 1


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["0", "1", "0"]),
        ("1,0", ["1", "0", "1"]),
        ("MIG-c, GPU-b", ["MIG-c", "GPU-b", "MIG-c"]),
        ("1", ["1", "1", "1"]),
        ("", ["", "", ""]),
    ],
)
def test_every_engine_sees_one_gpu(two_gpus, monkeypatch, visible, seen):
    for number, name in enumerate(seen):
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        gpus.take(number)
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == name


def test_runtime_here_is_asked_without_loading_it():
    import onnxruntime

    has = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert gpus.runtime_has_cuda() == has

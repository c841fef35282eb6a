"""The GPU itself: what it is, what it could do at most, how much of it is in use."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime as ort

from server.observability.gpus import nvml

TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "A10": 125, "T4": 65}
"""Of float16 on tensor cores without sparsity, by NVIDIA's data sheets."""
LOOK_S = 0.05


def hardware() -> dict[str, Any]:
    """Return what is measured on."""
    library = nvml()
    gpus = []
    if library:
        handles = map(library.nvmlDeviceGetHandleByIndex, range(library.nvmlDeviceGetCount()))
        gpus = [str(library.nvmlDeviceGetName(handle)) for handle in handles]
    elif shutil.which("nvidia-smi"):
        gpus = _ask("name,driver_version", "csv,noheader").splitlines()
    return {
        "gpus": gpus,
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "onnxruntime": ort.__version__,
        "providers": ort.get_available_providers(),
    }


def peak_tflops(gpus: list[str]) -> int | None:
    """Return what the first GPU could do in float16, None where that is not known."""
    words = re.split(r"\W+", gpus[0]) if gpus else []
    return next((peak for name, peak in TFLOPS.items() if name in words), None)


def used_mib() -> float:
    """Return the memory in use on the first GPU; without one, this process's."""
    library = nvml()
    if library:
        handle = library.nvmlDeviceGetHandleByIndex(0)
        return round(library.nvmlDeviceGetMemoryInfo(handle).used / 2**20)
    if shutil.which("nvidia-smi"):
        return float(_ask("memory.used", "csv,noheader,nounits").split()[0])
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


@contextmanager
def busy() -> Iterator[dict[str, float]]:
    """Note in what is yielded which part of the time a kernel ran on the first GPU, 0 to 1.

    Nothing is noted where there is no GPU, or none that tells.
    """
    found: dict[str, float] = {}
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            if (share := _busy_now()) is None:
                return
            seen.append(share)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        if seen:
            found["gpu_busy"] = round(statistics.fmean(seen), 3)


def _busy_now() -> float | None:
    library = nvml()
    try:
        if library:
            handle = library.nvmlDeviceGetHandleByIndex(0)
            return float(library.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
        if shutil.which("nvidia-smi"):
            return float(_ask("utilization.gpu", "csv,noheader,nounits").split()[0]) / 100
    except Exception:  # a MIG device tells nothing
        return None
    return None


def _ask(what: str, form: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={what}", f"--format={form}"]
    return subprocess.run(command, capture_output=True, text=True).stdout

"""ONNX Runtime's plugins: providers in libraries of their own, and the device that each takes."""

from functools import cache
from typing import Any

import onnxruntime as ort


class NoDevice(Exception):
    """A plugin is not installed, or takes no device of this host."""


def tensorrt_rtx_gpu() -> Any:
    """Return the first GPU as a device of the plugin of TensorRT for RTX.

    Raises:
        NoDevice: the plugin is not there, or finds no GPU.

    Source: the documentation of onnxruntime-ep-nv-tensorrt-rtx.
    """
    try:
        import onnxruntime_ep_nv_tensorrt_rtx as plugin
    except ImportError as error:
        raise NoDevice("onnxruntime-ep-nv-tensorrt-rtx is not installed") from error
    name = plugin.get_ep_name()
    _register(name, plugin.get_library_path())
    found = next((device for device in ort.get_ep_devices() if device.ep_name == name), None)
    if found is None:
        raise NoDevice("the TensorRT RTX plugin finds no GPU")
    return found


@cache
def _register(name: str, library: str) -> None:
    """Load a plugin's library, once in a process: ONNX Runtime refuses a second time."""
    ort.register_execution_provider_library(name, library)

"""ONNX Runtime's plugins: providers in libraries of their own, and the device that each takes."""

from collections.abc import Callable
from functools import cache
from typing import Any

import onnxruntime as ort


class NoDevice(Exception):
    """A plugin is not installed, or takes no device of this host."""


def openvino_cpu() -> Any:
    """Return the processor as a device of OpenVINO's plugin.

    Raises:
        NoDevice: the plugin is not there, or does not take the processor: it takes Intel's alone,
            though OpenVINO itself runs on AMD's too.

    Source: https://github.com/microsoft/onnxruntime/pull/31981
    """
    try:
        import onnxruntime_ep_openvino as plugin  # not there in the GPU image
    except ImportError as error:
        raise NoDevice("onnxruntime-ep-openvino is not installed") from error
    _register("openvino", plugin.get_library_path())
    found = _first(lambda device: _is_cpu(device) and device.ep_name == plugin.get_ep_name())
    if found is None:
        cpu = _first(_is_cpu)
        raise NoDevice(
            "OpenVINO's plugin takes Intel's processors alone, "
            f"and this one is by {(cpu and cpu.device.vendor) or 'somebody else'}"
        )
    return found


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
    found = _first(lambda device: device.ep_name == name)
    if found is None:
        raise NoDevice("the TensorRT RTX plugin finds no GPU")
    return found


@cache
def _register(name: str, library: str) -> None:
    """Load a plugin's library, once in a process: ONNX Runtime refuses a second time."""
    ort.register_execution_provider_library(name, library)


def _first(suits: Callable[[Any], bool]) -> Any:
    return next((device for device in ort.get_ep_devices() if suits(device)), None)


def _is_cpu(device: Any) -> bool:
    return bool(device.device.type == ort.OrtHardwareDeviceType.CPU)

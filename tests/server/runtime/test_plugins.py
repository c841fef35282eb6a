"""Which device of a host a plugin takes, and what is said where it takes none."""

import sys
from functools import cache
from types import ModuleType, SimpleNamespace

import onnxruntime as ort
import pytest

from server.runtime import plugins
from server.runtime.plugins import NoDevice, openvino_cpu

CPU, GPU = ort.OrtHardwareDeviceType.CPU, ort.OrtHardwareDeviceType.GPU
OPENVINO = "OpenVINOExecutionProvider"


class Plugin(ModuleType):
    """Stands in for the plugin's package."""

    get_ep_name = staticmethod(lambda: OPENVINO)
    get_library_path = staticmethod(lambda: "/there/libplugin.so")


def device(ep_name, kind, vendor):
    return SimpleNamespace(ep_name=ep_name, device=SimpleNamespace(type=kind, vendor=vendor))


@pytest.fixture
def host(monkeypatch):
    """A host where the plugin is installed; what is registered, and the devices it has then."""
    there = SimpleNamespace(registered=[], devices=[])
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", Plugin("onnxruntime_ep_openvino"))
    monkeypatch.setattr(
        ort, "register_execution_provider_library", lambda *x: there.registered.append(x)
    )
    monkeypatch.setattr(ort, "get_ep_devices", lambda: there.devices)
    monkeypatch.setattr(plugins, "_register", cache(plugins._register.__wrapped__))
    return there


def test_openvino_takes_the_processor_and_not_the_gpu_beside_it(host):
    host.devices = [
        device("CPUExecutionProvider", CPU, "Intel"),
        device(OPENVINO, GPU, "Intel"),
        device(OPENVINO, CPU, "Intel"),
    ]
    assert openvino_cpu() is host.devices[2]


def test_a_plugin_is_registered_once_only(host):
    host.devices = [device(OPENVINO, CPU, "Intel")]
    assert openvino_cpu() is openvino_cpu()
    assert host.registered == [("openvino", "/there/libplugin.so")]


def test_a_processor_that_openvino_does_not_take_is_named_each_time(host):
    host.devices = [device("CPUExecutionProvider", CPU, "AMD"), device(OPENVINO, GPU, "Intel")]
    for _ in range(2):
        with pytest.raises(NoDevice, match="Intel's processors alone, and this one is by AMD"):
            openvino_cpu()
    assert len(host.registered) == 1


def test_openvino_that_is_not_installed_is_said_to_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", None)
    with pytest.raises(NoDevice, match="onnxruntime-ep-openvino is not installed"):
        openvino_cpu()

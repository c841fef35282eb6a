"""A plugin's library is loaded once, and its device is found among all that the host has."""

import sys
from functools import cache
from types import ModuleType, SimpleNamespace

import onnxruntime as ort
import pytest

from server.runtime import plugins
from server.runtime.plugins import NoDevice, tensorrt_rtx_gpu

TENSORRT_RTX = "NvTensorRTRTXExecutionProvider"
PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"


class Plugin(ModuleType):
    """Stands in for the plugin's package."""

    get_ep_name = staticmethod(lambda: TENSORRT_RTX)
    get_library_path = staticmethod(lambda: "/there/libplugin.so")


@pytest.fixture
def host(monkeypatch):
    """A host where the plugin is installed; what is registered, and the devices it has then."""
    there = SimpleNamespace(registered=[], devices=[])
    monkeypatch.setitem(sys.modules, PACKAGE, Plugin(PACKAGE))
    monkeypatch.setattr(
        ort, "register_execution_provider_library", lambda *x: there.registered.append(x)
    )
    monkeypatch.setattr(ort, "get_ep_devices", lambda: there.devices)
    monkeypatch.setattr(plugins, "_register", cache(plugins._register.__wrapped__))
    return there


def test_a_plugin_takes_its_own_device_and_is_registered_once_only(host):
    names = ("CPUExecutionProvider", TENSORRT_RTX)
    host.devices = [SimpleNamespace(ep_name=name) for name in names]
    assert tensorrt_rtx_gpu() is tensorrt_rtx_gpu() is host.devices[1]
    assert host.registered == [(TENSORRT_RTX, "/there/libplugin.so")]


def test_a_host_without_a_device_for_the_plugin_is_told_each_time(host):
    host.devices = [SimpleNamespace(ep_name="CPUExecutionProvider")]
    for _ in range(2):
        with pytest.raises(NoDevice, match="finds no GPU"):
            tensorrt_rtx_gpu()
    assert len(host.registered) == 1


def test_a_plugin_that_is_not_installed_is_said_to_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(NoDevice, match="onnxruntime-ep-nv-tensorrt-rtx is not installed"):
        tensorrt_rtx_gpu()

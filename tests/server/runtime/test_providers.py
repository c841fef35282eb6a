"""Which options a provider is opened with, and what is said where it is missing."""

import json
import platform
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import onnxruntime as ort
import pytest

from server.bundle import repository
from server.bundle.latents import latents
from server.runtime import plugins
from server.runtime.open_session import open_session
from server.runtime.plans import EP_NAMES, Plan, SessionError, choose_plans
from server.runtime.providers import (
    cuda_options,
    open_provider,
    tensorrt_options,
    tensorrt_rtx_options,
)
from tests.small_model import GRAPH, conditional_model_of

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "models" / "cars-dcgan" / "1" / "generator.onnx"


def test_options_of_cuda_are_texts():
    options = cuda_options(1, graphs=True, nhwc=False)
    assert options["device_id"] == "1"
    assert (options["enable_cuda_graph"], options["prefer_nhwc"]) == ("1", "0")
    assert options["use_tf32"] == "1"
    assert cuda_options(1, graphs=True, nhwc=False, tf32=False)["use_tf32"] == "0"
    assert all(isinstance(value, str) for value in options.values())


@pytest.mark.parametrize(("precision", "half"), [("f16", "1"), ("f32", "0")])
def test_tensorrt_compiles_for_the_graphs_own_input_and_keeps_what_it_compiled(
    tmp_path, precision, half
):
    options = tensorrt_options(MODEL, precision, tmp_path / "compiled")
    assert options["trt_fp16_enable"] == half
    assert options["trt_profile_min_shapes"] == "latents:1x100"
    assert options["trt_profile_max_shapes"] == "latents:1024x100"
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert all(isinstance(value, str) for value in options.values())
    assert "trt_engine_cache_enable" not in tensorrt_options(MODEL, precision, None)


def test_tensorrt_compiles_for_classes_beside_the_latents(tmp_path):
    graph = conditional_model_of(tmp_path, "pets", ["cat", "dog"]) / GRAPH
    options = tensorrt_options(graph, "f32", None)
    assert options["trt_profile_min_shapes"] == "latents:1x100,class:1"
    assert options["trt_profile_max_shapes"] == "latents:1024x100,class:1024"


def test_tensorrt_rtx_does_so_too(tmp_path):
    options = tensorrt_rtx_options(MODEL, tmp_path / "compiled")
    assert options["nv_profile_max_shapes"] == "latents:1024x100"
    assert Path(options["nv_runtime_cache_path"]).is_dir()
    assert "nv_runtime_cache_path" not in tensorrt_rtx_options(MODEL, None)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_provider_that_this_runtime_lacks_is_an_error_and_no_other_serves(provider):
    if EP_NAMES[provider] in ort.get_available_providers():
        pytest.skip("it is there")
    with pytest.raises(SessionError, match=f"asked for {EP_NAMES[provider]}, this ONNX"):
        open_provider(MODEL, Plan(provider, "f32"), 1)


def test_tensorrt_rtx_without_its_plugin_is_an_error_that_names_it():
    with pytest.raises(SessionError, match="onnxruntime-ep-nv-tensorrt-rtx is not installed"):
        open_provider(MODEL, Plan("tensorrt-rtx", "f32"), 1)


class Made:
    """Stands in for a session, and for its options."""

    def __init__(self, *args, **settings):
        self.args, self.settings, self.entries = args, settings, {}
        self.add_session_config_entry = self.entries.__setitem__

    def get_providers(self):
        return [name for name, _ in self.settings["providers"]]


def test_openvino_is_opened_on_the_processor_in_the_plans_precision(monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: [EP_NAMES["openvino"]])
    monkeypatch.setattr(ort, "SessionOptions", Made)
    monkeypatch.setattr(ort, "InferenceSession", Made)
    [(name, settings)] = open_provider(MODEL, Plan("openvino", "bf16"), 2).session.settings[
        "providers"
    ]
    assert (name, settings["device_type"]) == ("OpenVINOExecutionProvider", "CPU")
    assert json.loads(settings["load_config"])["CPU"]["INFERENCE_PRECISION_HINT"] == "bf16"
    assert json.loads(settings["load_config"])["CPU"]["INFERENCE_NUM_THREADS"] == "2"


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="it has no wheel here"
)
def test_openvino_is_built_into_this_environments_runtime():
    assert EP_NAMES["openvino"] in ort.get_available_providers()


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("plan", choose_plans(), ids=str)
def test_every_plan_of_this_host_draws_the_shipped_bundles_and_the_same_bits_in_any_batch(
    plan, version
):
    bundle = repository.find(ROOT / "models", "cars-dcgan", version)
    session, failed = open_session(bundle, [plan], threads=1)  # it draws the golden images
    assert not failed
    together = session.run(latents(range(64), 100))
    for rows in (1, 7, 33):
        assert (session.run(latents(range(rows), 100)) == together[:rows]).all()


class Plugin(ModuleType):
    """Stands in for the plugin's package."""

    get_ep_name = staticmethod(lambda: "NvTensorRTRTXExecutionProvider")
    get_library_path = staticmethod(lambda: "/there/libprovider.so")


@pytest.fixture
def plugin(monkeypatch):
    """Install the plugin; return what is registered, and the devices that it then has."""
    there = SimpleNamespace(registered=[], devices=[])
    name = "onnxruntime_ep_nv_tensorrt_rtx"
    monkeypatch.setitem(sys.modules, name, Plugin(name))
    monkeypatch.setattr(plugins, "_register", plugins._register.__wrapped__)  # each time anew
    monkeypatch.setattr(
        ort, "register_execution_provider_library", lambda *x: there.registered.append(x)
    )
    monkeypatch.setattr(ort, "get_ep_devices", lambda: there.devices if there.registered else [])
    return there


def test_tensorrt_rtx_that_finds_no_gpu_is_an_error(plugin):
    with pytest.raises(SessionError, match="the TensorRT RTX plugin finds no GPU"):
        open_provider(MODEL, Plan("tensorrt-rtx", "f32"), 1)
    assert plugin.registered == [("NvTensorRTRTXExecutionProvider", "/there/libprovider.so")]


def test_tensorrt_rtx_is_opened_on_the_first_gpu_and_nothing_else(plugin, monkeypatch, tmp_path):
    plugin.devices = [SimpleNamespace(ep_name=Plugin.get_ep_name(), at=i) for i in range(2)]
    made = []

    class Options:
        def __init__(self):
            self.entries, self.devices = {}, []
            self.add_session_config_entry = self.entries.__setitem__
            self.add_provider_for_devices = lambda *x: self.devices.append(x)

    inputs = lambda: [SimpleNamespace(name="latents", shape=["batch", 100])]  # noqa: E731
    monkeypatch.setattr(ort, "SessionOptions", Options)
    monkeypatch.setattr(
        ort,
        "InferenceSession",
        lambda path, options, **_: made.append(options) or SimpleNamespace(get_inputs=inputs),
    )
    opened = open_provider(MODEL, Plan("tensorrt-rtx", "f16"), 1, tmp_path, spins=True)
    assert opened.device is None
    [(devices, settings)] = made[-1].devices
    assert [device.at for device in devices] == [0]
    assert settings["nv_runtime_cache_path"] == str(tmp_path)
    assert made[-1].entries["session.disable_cpu_ep_fallback"] == "1"
    assert made[-1].entries["session.intra_op.allow_spinning"] == "0"


@pytest.mark.parametrize("spins", [False, True])
def test_threads_wait_awake_where_they_are_told_to(monkeypatch, spins):
    made = []
    monkeypatch.setattr(ort, "SessionOptions", lambda: made.append(Made()) or made[-1])
    monkeypatch.setattr(ort, "InferenceSession", Made)
    open_provider(MODEL, Plan("cpu", "f32"), 2, spins=spins)
    (options,) = made
    assert options.entries["session.intra_op.allow_spinning"] == str(int(spins))
    assert options.intra_op_num_threads == 2

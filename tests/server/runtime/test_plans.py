"""The ways to run a bundle, best first."""

from pathlib import Path

import onnxruntime as ort
import pytest

from server.bundle import repository
from server.runtime import plans
from server.runtime.plans import EP_NAMES, Plan, SessionError, choose_plans

ROOT = Path(__file__).parents[3]


@pytest.fixture
def host(monkeypatch):
    """Make this host one with OpenVINO or without, whose processor is Intel's or has bfloat16."""

    def make(openvino=True, intel=False, bf16=""):
        built_in = [EP_NAMES["openvino"]] * openvino + [EP_NAMES["cpu"]]
        cpuinfo = f"vendor_id : {'GenuineIntel' if intel else 'AuthenticAMD'}\nflags : avx2 {bf16}"
        monkeypatch.setattr(ort, "get_available_providers", lambda: built_in)
        monkeypatch.setattr(plans, "_cpuinfo", lambda: cpuinfo)

    return make


@pytest.mark.parametrize(
    ("intel", "bf16"), [(True, "amx_bf16"), (True, "avx512_bf16"), (False, "avx512_bf16")]
)
def test_auto_prefers_openvino_in_bfloat16_on_anyones_processor_that_has_it(host, intel, bf16):
    host(intel=intel, bf16=bf16)
    assert choose_plans()[0] == Plan("openvino", "bf16")
    assert bf16 in choose_plans()[0].reason
    assert all(plan.reason for plan in choose_plans())


def test_in_float32_openvino_comes_first_on_intels_processors_alone(host):
    openvino_first = [Plan("openvino", "f32"), Plan("cpu", "f32")]
    host(intel=True)
    assert choose_plans() == openvino_first
    host(intel=False)
    assert choose_plans() == openvino_first[::-1]
    host(intel=False, bf16="avx512_bf16")
    assert choose_plans() == [Plan("openvino", "bf16"), *openvino_first[::-1]]


def test_openvino_is_left_out_where_the_runtime_lacks_it_unless_it_is_asked_for(host):
    host(openvino=False, bf16="avx512_bf16")
    assert choose_plans() == [Plan("cpu", "f32")]
    assert choose_plans("cuda", fallback=True) == [Plan("cuda", "f32"), Plan("cpu", "f32")]
    assert choose_plans("openvino") == [Plan("openvino", "bf16"), Plan("openvino", "f32")]
    with pytest.raises(SessionError, match="provider auto has no precision bf16 here; there is"):
        choose_plans(precision="bf16")


def test_chosen_provider_and_precision_are_never_departed_from():
    assert choose_plans("cpu") == [Plan("cpu", "f32")]
    assert choose_plans("openvino", "f32") == [Plan("openvino", "f32")]
    assert choose_plans("cuda") == [Plan("cuda", "f32")]
    assert {plan.reason for plan in choose_plans("openvino")} == {
        "the setting provider is openvino"
    }
    assert choose_plans("cuda", fallback=True)[1:] == choose_plans()
    assert choose_plans("cuda", fallback=True)[1].reason.startswith("a fallback: ")
    assert choose_plans(fallback=True) == choose_plans()
    with pytest.raises(SessionError, match="cpu has no precision bf16"):
        choose_plans("cpu", "bf16")


@pytest.mark.parametrize("provider", ["tensorrt", "tensorrt-rtx"])
def test_tensorrt_serves_what_cuda_may_and_only_if_it_is_asked_for(provider):
    manifest = repository.find(ROOT / "models", "cars-dcgan").manifest
    both = [Plan(provider, "f16"), Plan(provider, "f32")]
    assert choose_plans(provider, manifest=manifest) == both
    assert choose_plans(provider, "f16", manifest) == both[:1]
    assert choose_plans(provider) == both[1:]  # without a graph in float16
    assert [plan.variant for plan in both] == ["fp16", "fp32"]
    assert all(plan.on_gpu for plan in both)
    assert not any(plan.on_gpu for plan in choose_plans("cpu"))
    assert not {"tensorrt", "tensorrt-rtx"} & {plan.provider for plan in choose_plans()}

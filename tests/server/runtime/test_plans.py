"""The ways to run a bundle, best first."""

from pathlib import Path

import pytest

from server.bundle import repository
from server.runtime import plans
from server.runtime.plans import Plan, SessionError, choose_plans
from server.runtime.plugins import NoDevice

ROOT = Path(__file__).parents[3]


@pytest.fixture
def processor(monkeypatch):
    """Make this host's processor one that OpenVINO takes or not, and that has bfloat16 or not."""

    def put(openvino, bf16):
        def openvino_cpu():
            if not openvino:
                raise NoDevice

        monkeypatch.setattr(plans, "openvino_cpu", openvino_cpu)
        monkeypatch.setattr(plans, "has_bf16", lambda: bf16)

    return put


@pytest.mark.parametrize(("bf16", "precision"), [("amx_bf16", "bf16"), ("", "f32")])
def test_auto_prefers_openvino_in_the_fastest_precision(processor, bf16, precision):
    processor(openvino=True, bf16=bf16)
    assert choose_plans()[0] == Plan("openvino", precision)
    assert choose_plans()[-1] == Plan("cpu", "f32")
    assert all(plan.reason for plan in choose_plans())
    assert bf16 in choose_plans()[0].reason


def test_openvino_is_left_out_where_it_does_not_take_the_processor_unless_it_is_asked_for(
    processor,
):
    processor(openvino=False, bf16="avx512_bf16")
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

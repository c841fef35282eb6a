"""The ways to run a bundle, best first."""

from dataclasses import replace
from pathlib import Path

import onnxruntime as ort
import pytest

from server.bundle import repository
from server.config import PLANS, PRECISIONS, PROVIDERS
from server.runtime import plans
from server.runtime.plans import EP_NAMES, Plan, SessionError, choose_plans, float_plans

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


def test_an_answer_can_name_every_plan(host, monkeypatch):
    host(bf16="avx512_bf16")
    monkeypatch.setattr(plans, "_offered", lambda plan, manifest: True)
    chosen = [plan for x in PROVIDERS[1:] for plan in choose_plans(x, fallback=True)]
    chosen += choose_plans(precision="exact")
    assert {plan.provider for plan in chosen} == set(PROVIDERS[1:])
    assert {plan.precision for plan in chosen} == set(PRECISIONS[1:])
    assert {str(plan) for plan in chosen} <= set(PLANS)


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


def with_exact():
    manifest = repository.find(ROOT / "models", "cars-dcgan", "1").manifest
    exact = replace(
        manifest.variant("fp32"), name="exact", plans=["openvino/exact", "cpu/exact"], refused=[]
    )
    return replace(manifest, variants=[*manifest.variants, exact])


def test_exact_is_run_by_those_who_ask_for_it_alone(host):
    host(intel=True, bf16="amx_bf16")
    exact = [Plan("openvino", "exact"), Plan("cpu", "exact")]
    assert choose_plans("auto", "exact", with_exact()) == exact
    assert choose_plans("cpu", "exact", with_exact()) == exact[1:]
    for provider in ("auto", "cpu", "openvino"):
        for precision in ("auto", "f32"):
            plans = choose_plans(provider, precision, with_exact(), fallback=True)
            assert not set(exact) & set(plans)
    host(intel=False)
    assert choose_plans("auto", "exact", with_exact()) == exact


def test_exact_needs_a_bundle_that_has_it(host):
    host()
    manifest = repository.find(ROOT / "models", "cars-dcgan", "1").manifest
    with pytest.raises(SessionError, match="provider auto has no precision exact here; there is"):
        choose_plans("auto", "exact", manifest)
    with pytest.raises(SessionError, match="provider cuda has no precision exact here"):
        choose_plans("cuda", "exact", with_exact())


@pytest.mark.parametrize(
    ("served", "fallback", "wanted"),
    [
        ("openvino/bf16", True, ["openvino/f32", "cpu/f32"]),
        ("openvino/exact", False, ["openvino/f32"]),
        ("cpu/int8", True, ["cpu/f32"]),
        ("cuda/f16", True, ["cuda/f32", "cpu/f32"]),
        ("tensorrt/f16", False, ["cuda/f32"]),
    ],
)
def test_float_images_are_in_float32_by_the_provider_that_serves(served, fallback, wanted):
    plans = float_plans(Plan(*served.split("/")), fallback)
    assert [str(plan) for plan in plans] == wanted
    assert {plan.variant for plan in plans} == {"floats"}
    assert all(plan.reason for plan in plans)
    assert plans[-1] != Plan(plans[-1].provider, "f32")

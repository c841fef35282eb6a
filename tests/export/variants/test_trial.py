import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.bench import Rate
from export.config import ExportConfig
from export.contents import Proven, write_contents
from export.errors import VariantRefused
from export.head import add_head
from export.reference import once
from export.rows import RowFacts
from export.run import read_run
from export.variants import CANDIDATES, Candidate, exact, trial
from export.variants.exact import proof
from export.variants.trial import Bench, try_out
from server.bundle.files import load_bundle
from server.runtime.open_session import open_session
from server.runtime.plans import Plan, SessionError, choose_plans
from server.runtime.session import self_test

FP16 = next(candidate for candidate in CANDIDATES if candidate.name == "fp16")
EXACT = next(candidate for candidate in CANDIDATES if candidate.name == "exact")
CPU = Plan("cpu", "int8")


@pytest.fixture
def bench(converted, model_path, reference, probes):
    return Bench(converted, model_path, reference, probes, 1, 1, lambda model: None, RowFacts(100))


@pytest.fixture
def speeds(monkeypatch):
    """Set how fast plans are instead of measuring it."""

    def set_speeds(**by_variant):
        def measure(subjects, *_args, **_kwargs):
            return [
                Rate(x.variant, str(x.plan), 32, by_variant.get(x.variant, 1.0)) for x in subjects
            ], []

        monkeypatch.setattr(trial, "measure", measure)

    return set_speeds


def candidate(build):
    return Candidate("int8", "int8", build, meant_for=(CPU,))


def unchanged(floats, _facts, _scratch):
    return add_head(floats), "nothing"


def brighter(floats, _facts, _scratch):
    """Every image a twentieth too bright."""
    model = onnx.ModelProto()
    model.CopyFrom(floats)
    model.graph.node[-1].output[0] = "dim"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "light"))
    model.graph.node.append(helper.make_node("Add", ["dim", "light"], ["images"], "brighten"))
    return add_head(model), "all brighter"


def test_float16_is_proven_without_its_device_and_shipped_for_it_alone(bench, tmp_path, run_dir):
    found = try_out(FP16, bench, tmp_path)
    assert found.plans == ["cuda/f16"]
    assert "its speed was not measured" in found.told[-1]
    assert [x.plan for x in found.report.plans] == [Plan("cpu", "f16")]
    assert found.report.plans[0].differences["ordinary"].levels == 1


def test_wrong_images_are_not_shipped_and_the_worst_is_named(bench, tmp_path, speeds):
    speeds(int8=9.0)
    found = try_out(candidate(brighter), bench, tmp_path)
    assert not found.shipped
    assert (
        "cpu/int8: ordinary latents: largest difference 13 grey levels (limit 6)" in found.told[0]
    )


def test_wrong_images_on_a_stand_in_are_not_shipped_either(bench, tmp_path):
    wrong = Candidate("fp16", "float16", brighter, FP16.meant_for, FP16.proven_on)
    found = try_out(wrong, bench, tmp_path)
    assert not found.shipped
    assert "cpu/f16: ordinary latents" in found.told[0]


@pytest.mark.parametrize(("speed", "shipped"), [(1.0, False), (1.04, False), (1.5, True)])
def test_shipped_only_where_it_is_faster(bench, tmp_path, speeds, speed, shipped):
    speeds(int8=speed, fp32=1.0)
    found = try_out(candidate(unchanged), bench, tmp_path)
    assert found.shipped == shipped
    assert found.told == [f"cpu/int8: {speed:.2f} times as fast as cpu/f32"]


@pytest.fixture
def brief(monkeypatch):
    """The widest ranges alone, and one image of ONNX's evaluator, which takes seconds."""
    monkeypatch.setattr(exact, "FINENESSES", exact.FINENESSES[2:])
    monkeypatch.setattr(exact, "TRIAL_SEEDS", exact.TRIAL_SEEDS[:64])
    monkeypatch.setattr(proof, "REFERENCE_ROWS", 1)


def test_slower_candidate_is_shipped_for_bytes_that_are_the_same_everywhere(
    bench, tmp_path, speeds, brief
):
    speeds(exact=0.5, fp32=1.0)
    found = try_out(EXACT, bench, tmp_path)
    assert found.plans == ["openvino/exact", "cpu/exact"], found.told
    assert found.told[0].startswith("the same bytes however it was run")
    assert "cpu/exact: 0.50 times as fast as cpu/f32" in found.told
    assert "of 2^24" in found.done


def test_candidate_whose_bytes_differ_is_not_shipped(bench, tmp_path, speeds, brief):
    """The graph in float32, whose sums every provider adds in another order."""
    speeds(exact=2.0, fp32=1.0)
    found = try_out(replace(EXACT, build=unchanged), bench, tmp_path)
    assert not found.shipped
    assert any("images are other bytes" in text for text in found.told)


def test_candidate_that_gives_up_is_told_and_not_shipped(bench, tmp_path):
    def refuse(*_):
        raise VariantRefused("no layer stays within the limits")

    found = try_out(candidate(refuse), bench, tmp_path)
    assert (found.shipped, found.told) == (False, ["no layer stays within the limits"])
    assert str(found) == "int8: not shipped\n  no layer stays within the limits"


def test_candidate_that_cannot_be_made_of_a_graph_is_told_and_not_shipped(bench, tmp_path):
    def stumble(*_):
        raise KeyError("axis")

    found = try_out(candidate(stumble), bench, tmp_path)
    assert not found.shipped
    assert found.told == ["it cannot be made of this graph (KeyError: 'axis')"]


def test_reference_is_drawn_once_for_the_same_latents(probes):
    asked = []

    def reference(latents):
        asked.append(len(latents))
        return latents

    draw = once(reference)
    first, second = probes[0].latents, probes[1].latents
    for latents in (first, first.copy(), second, second, first):
        assert (draw(latents) == latents).all()
    assert asked == [len(first), len(second), len(first)]


def test_bundle_has_the_variants_and_the_server_takes_each_for_its_own_plans(
    bench, tmp_path, run_dir, report, model_path, speeds
):
    speeds(int8=2.0, fp32=1.0)
    (tmp_path / "scratch").mkdir()
    trials = [try_out(x, bench, tmp_path / "scratch") for x in (FP16, candidate(unchanged))]
    folder = tmp_path / "1"
    folder.mkdir()
    proven = Proven("all", model_path, report, trials=trials)
    write_contents(folder, proven, read_run(run_dir), ExportConfig(run_dir, "cars", "1"))
    bundle = load_bundle(folder)
    manifest = bundle.manifest
    assert manifest.variant("fp16").plans == ["cuda/f16"]
    assert manifest.variant("int8").file == "generator-int8.onnx"
    assert CPU in choose_plans("cpu", manifest=manifest)
    assert CPU not in choose_plans("cpu")
    assert Plan("openvino", "int8") not in choose_plans(manifest=manifest)
    assert choose_plans("cuda", manifest=manifest)[0] == Plan("cuda", "f16")
    with pytest.raises(SessionError, match="provider openvino has no precision int8 here"):
        choose_plans("openvino", "int8", manifest)
    session, failed = open_session(bundle, [Plan("cpu", "f16")], threads=1)
    assert not failed
    assert self_test(session, bundle) == 1  # another graph than the golden one
    facts = json.loads((folder / "parity.json").read_text())["candidates"]
    assert facts["fp16"]["shipped"]
    assert facts["int8"]["told"] == ["cpu/int8: 2.00 times as fast as cpu/f32"]
    page = (folder / "report.html").read_text()
    assert "fp16, in the bundle" in page

import re

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export import parity as checking
from export.convert import write_onnx
from export.head import add_head
from export.parity import GOLDEN_PLAN, check_parity
from export.rounding import rounding
from server.runtime.plans import Plan, choose_plans


def alter(model, name, change):
    """Put ``change`` of the weight ``name`` in its place."""
    (weight,) = [x for x in model.graph.initializer if x.name == name]
    values = np.ascontiguousarray(change(numpy_helper.to_array(weight).copy()))
    weight.CopyFrom(numpy_helper.from_array(values, name))


def swap_colors(model):
    alter(model, "Conv_1.1", lambda kernel: kernel[::-1])
    alter(model, "Conv_1.2", lambda bias: bias[::-1])


def shift_padding(model):
    node = next(x for x in model.graph.node if x.name == "ConvTranspose_3")
    del node.attribute[:]
    node.attribute.extend(
        [helper.make_attribute("strides", [2, 2]), helper.make_attribute("pads", [0, 0, 2, 2])]
    )


def transpose_kernel(model):
    alter(model, "ConvTranspose_2.1", lambda kernel: kernel.swapaxes(2, 3))


def leave_out_normalization(model):
    """The second BatchNormalization, which the converter writes as Mul and Add."""
    nodes = {x.name: x for x in model.graph.node}
    nodes["LeakyRelu_3"].input[0] = nodes["Mul_2"].input[0]
    for name in ("Mul_2", "Add_3"):
        model.graph.node.remove(nodes[name])


def break_weight(model):
    def change(kernel):
        kernel[0, 0, 0, 0] = np.nan
        return kernel

    alter(model, "ConvTranspose_1.1", change)


def drop_latent(model):
    def change(kernel):
        kernel[41] = 0
        return kernel

    alter(model, "MatMul_1.1", change)


def brighten_a_quarter_level(model):
    graph = model.graph
    graph.node[-1].output[0] = "dim"
    graph.initializer.append(numpy_helper.from_array(np.float32(0.25 / 127.5), "light"))
    graph.node.append(helper.make_node("Add", ["dim", "light"], ["images"], "brighten"))


def depend_on_batch(model, levels):
    """Right in every batch but a batch of one, where images are ``levels`` too bright."""
    graph = model.graph
    graph.node[-1].output[0] = "alone"
    constants = {"zero": np.int64(0), "one": np.int64(1), "light": np.float32(levels / 127.5)}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    graph.node.extend(
        [
            helper.make_node("Shape", ["latents"], ["shape"], "b1"),
            helper.make_node("Gather", ["shape", "zero"], ["rows"], "b2"),
            helper.make_node("Equal", ["rows", "one"], ["is_one"], "b3"),
            helper.make_node("Cast", ["is_one"], ["as_float"], "b4", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["as_float", "light"], ["more"], "b5"),
            helper.make_node("Add", ["alone", "more"], ["images"], "b6"),
        ]
    )


@pytest.fixture
def check(tmp_path, reference, probes):
    """Parity of an altered model."""

    def run(model, plans=None, change_head=lambda headed: None):
        headed = add_head(model)
        change_head(headed)
        path = tmp_path / "generator.onnx"
        write_onnx(headed, path)
        return check_parity(
            path,
            reference,
            probes,
            plans or choose_plans(),
            threads=1,
            rounding=rounding(model, probes),  # a fault in the graph is a part of it, too
        )

    return run


def test_good_model_passes_on_every_plan_of_this_host(report):
    assert report.misses == []
    assert [parity.plan for parity in report.plans] == choose_plans()
    assert GOLDEN_PLAN in [parity.plan for parity in report.plans]
    assert all(parity.same_in_any_batch for parity in report.plans)


def test_images_of_the_probes_are_varied_enough_to_show_a_fault(report):
    images = report.images(GOLDEN_PLAN)
    assert images.min() < 10
    assert images.max() > 245
    assert images[:256].std(axis=0).mean() > 20


@pytest.mark.parametrize(
    "fault",
    [
        swap_colors,
        shift_padding,
        transpose_kernel,
        leave_out_normalization,
        break_weight,
        drop_latent,
    ],
    ids=lambda fault: fault.__name__,
)
def test_planted_fault_is_caught_on_every_plan(converted, check, fault):
    fault(converted)
    report = check(converted)
    for parity in report.plans:
        assert any(miss.startswith(f"{parity.label}: ") for miss in report.misses), parity.label
    assert all("[" in miss or "cannot run" in miss for miss in report.misses)


def test_weight_that_is_nan_is_called_so(converted, check):
    break_weight(converted)
    report = check(converted, [GOLDEN_PLAN])
    assert any("NaN or infinity" in miss and "seeds[0]" in miss for miss in report.misses)


def test_reference_that_is_nan_is_called_so(model_path, probes, tmp_path):
    def reference(latents):
        return np.full((len(latents), 32, 32, 3), np.nan, np.float32)

    report = check_parity(model_path, reference, probes, [GOLDEN_PLAN], threads=1)
    (miss,) = report.misses
    assert miss.startswith("the SavedModel: NaN or infinity")


def test_quarter_of_a_grey_level_is_caught_in_float32(converted, check):
    brighten_a_quarter_level(converted)
    misses = check(converted, [GOLDEN_PLAN]).misses
    assert any("before the head" in miss for miss in misses)
    assert any("away from a rounding boundary" in miss for miss in misses)


def test_head_that_cuts_instead_of_rounding_is_caught(converted, check):
    def floor(headed):
        next(x for x in headed.graph.node if x.op_type == "Round").op_type = "Floor"

    misses = check(converted, [GOLDEN_PLAN], change_head=floor).misses
    assert any("away from a rounding boundary" in miss for miss in misses)
    assert not any("before the head" in miss for miss in misses)


def test_graph_that_depends_on_the_batch_is_caught_by_that_check_alone(converted, check):
    depend_on_batch(converted, levels=30)
    report = check(converted)
    # Where rounding in batches of 1 differs too, a value is one level further away.
    alone = r"images change in batches of 1, by 3[01] grey level\(s\) at most, first at seeds\[0\]"
    assert not any(parity.same_in_any_batch for parity in report.plans)
    assert any(re.search(f"^cpu f32: .*{alone}", miss) for miss in report.misses)
    assert all("images change" in miss for miss in report.misses)
    others = [parity.plan for parity in report.plans if parity.plan != GOLDEN_PLAN]
    assert list(report.refused) == [str(plan) for plan in others]
    assert all(re.search(alone, why) for why in report.refused.values())


def test_bits_that_change_in_a_batch_of_one_by_rounding_alone_are_padded(converted, check):
    depend_on_batch(converted, levels=0.5)
    report = check(converted, [GOLDEN_PLAN])
    assert report.misses == []
    (parity,) = report.plans
    assert (parity.same_in_any_batch, parity.least_rows) == (True, 2)
    assert report.least_rows() == {"cpu/f32": 2}
    assert "same, padded to 2 rows" in report.table()


def test_every_miss_names_its_plan_and_its_worst_latents(converted, check):
    drop_latent(converted)
    misses = check(converted, [GOLDEN_PLAN]).misses
    assert len(misses) > 3
    assert all(miss.startswith("cpu f32") for miss in misses)
    assert any("worst at seeds[" in miss for miss in misses)


def test_plan_that_refuses_the_graph_is_a_miss(model_path, reference, probes, monkeypatch):
    def refusing(path, plan, threads):
        raise RuntimeError("operator not supported")

    monkeypatch.setattr(checking, "Session", refusing)
    report = check_parity(model_path, reference, probes, [Plan("openvino", "f32")], threads=1)
    told = "it cannot run the model: RuntimeError: operator not supported"
    assert report.misses == [f"openvino f32: {told}"]


def test_reference_whose_rows_depend_on_each_other_is_called_so(model_path, reference, probes):
    def batch_normalized(latents):
        parts = [reference(latents[start : start + 64]) for start in range(0, len(latents), 64)]
        return np.concatenate([part - part.mean(axis=0) for part in parts])

    report = check_parity(model_path, batch_normalized, probes, [GOLDEN_PLAN], threads=1)
    (miss,) = report.misses
    assert re.search(
        r"the SavedModel draws two images of the same latents, seeds\[\d+\] and ", miss
    )
    assert "its rows depend on each other or on chance" in miss
    assert report.plans == []


def test_rounding_of_a_large_network_excuses_no_quarter_of_a_grey_level(
    converted, model_path, reference, probes
):
    brighten_a_quarter_level(converted)
    path = model_path.with_name("bright.onnx")
    write_onnx(add_head(converted), path)
    rough = {"ordinary": 1.0, "extreme": 1.0}
    report = check_parity(path, reference, probes, [GOLDEN_PLAN], threads=1, rounding=rough)
    assert any("before the head" in miss for miss in report.misses)
    assert any("away from a rounding boundary" in miss for miss in report.misses)


def test_float_images_from_a_graph_without_head_are_a_miss(
    converted, model_path, reference, probes, monkeypatch
):
    floats = model_path.with_name("bare.onnx")
    write_onnx(converted, floats)
    real = checking.Session
    monkeypatch.setattr(checking, "Session", lambda _, plan, threads: real(floats, plan, threads))
    report = check_parity(model_path, reference, probes, [GOLDEN_PLAN], threads=1)
    (miss,) = report.misses
    assert miss.startswith("cpu f32: it draws float32 (")
    assert "not uint8 (" in miss


def test_plan_in_bf16_alone_that_misses_is_refused_and_the_graph_is_not(
    model_path, reference, probes, monkeypatch
):
    real = checking.Session

    def coarse(path, plan, threads):
        session = real(path, GOLDEN_PLAN, threads)
        if plan.precision == "bf16":
            run = session.run
            session.run = lambda batch: run(batch) // 32 * 32
        return session

    monkeypatch.setattr(checking, "Session", coarse)
    plans = [Plan("openvino", "bf16"), Plan("openvino", "f32"), GOLDEN_PLAN]
    report = check_parity(model_path, reference, probes, plans, threads=1)
    assert report.misses == []
    assert list(report.refused) == ["openvino/bf16"]
    assert "openvino/bf16 will not serve: ordinary latents: largest difference" in report.table()

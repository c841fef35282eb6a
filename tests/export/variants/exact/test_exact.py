"""The variant whose bytes are the same on every processor, provider and version."""

import hashlib

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.batches import run_in_batches
from export.convert import LATENTS, write_onnx
from export.differences import compare
from export.errors import VariantRefused
from export.head import to_uint8
from export.probes import Probe
from export.report import PlanParity, Report
from export.rows import RowFacts
from export.tolerances import limits
from export.variants.exact import exact_graph
from export.variants.exact.bounds import largest_sum
from export.variants.exact.proof import other_bytes
from server.bundle.latents import latents
from server.runtime.plans import Plan
from server.runtime.session import Session
from tests.export.variants.exact.conftest import LATENT_DIM, generator

PLANS = [Plan("openvino", "exact"), Plan("cpu", "exact")]


def draw(model, rows):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {LATENTS: rows})[0]


def planted(model, name, change):
    """Return ``model`` with the first weight that ``name`` is in changed."""
    copy = onnx.load_from_string(model.SerializeToString())
    weight = next(x for x in copy.graph.initializer if x.name.startswith(name))
    weight.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weight)), weight.name))
    return copy


@pytest.fixture(scope="session")
def made(floats_bytes, tmp_path_factory):
    return exact_graph(
        onnx.load_from_string(floats_bytes), RowFacts(LATENT_DIM), tmp_path_factory.mktemp("exact")
    )


@pytest.fixture
def exact_model(made):
    """The exact generator, a copy to alter."""
    return onnx.load_from_string(made[0].SerializeToString())


def prove(model, tmp_path, plans=PLANS):
    """Return what differs, when the graph ``model`` is run in every way."""
    path = tmp_path / "exact.onnx"
    write_onnx(model, path)
    rows = latents(range(130), LATENT_DIM)
    report = Report([Probe("seeds", rows, extreme=False)])
    for plan in plans:
        images = run_in_batches(Session(path, plan, 2), rows, 64)
        report.plans.append(PlanParity(plan, limits(plan), images=images))
    return list(other_bytes(path, report, 2))


def test_images_are_those_of_the_float_graph_within_four_levels(exact_model, floats):
    rows = latents(range(512), LATENT_DIM)
    wanted = to_uint8(draw(floats, rows))
    found = compare(draw(exact_model, rows), wanted)
    assert wanted.std() > 30
    assert found.levels <= 4
    assert found.psnr_db > 52


def test_same_generator_gives_the_same_file(made, floats, tmp_path):
    model, told = exact_graph(floats, RowFacts(LATENT_DIM), tmp_path)
    assert model.SerializeToString(deterministic=True) == made[0].SerializeToString(
        deterministic=True
    )
    assert told == made[1]


def test_every_way_to_run_it_gives_the_same_bytes(exact_model, tmp_path):
    assert prove(exact_model, tmp_path) == []


def test_bytes_do_not_depend_on_the_batch(exact_model, tmp_path):
    write_onnx(exact_model, tmp_path / "exact.onnx")
    rows = latents(range(33), LATENT_DIM)
    for plan in PLANS:
        session = Session(tmp_path / "exact.onnx", plan, 2)
        whole = session.run(rows)
        for size in (1, 3, 7, 32):
            assert np.array_equal(run_in_batches(session, rows, size), whole)


def test_no_cast_and_no_function_is_left_that_a_provider_may_do_in_its_own_way(exact_model):
    kinds = {node.op_type for node in exact_model.graph.node}
    assert not kinds & {"Tanh", "Exp", "Div", "Sigmoid", "ReduceSum"}
    casts = [node for node in exact_model.graph.node if node.op_type == "Cast"]
    assert [node.attribute[0].i for node in casts] == [TensorProto.INT32]


def test_bound_is_near_to_what_float32_holds_and_told(made):
    model, told = made
    assert 0.4 < largest_sum(model) <= 1
    assert "of 2^24" in told


@pytest.mark.parametrize("operator", ["Conv", "Gemm"])
def test_weight_that_is_too_large_is_seen(exact_model, operator):
    larger = planted(exact_model, operator, lambda x: x * np.float32(4) + (x != 0))
    with pytest.raises(VariantRefused, match=f"{operator}.* times what float32 sums exactly"):
        largest_sum(larger)


def test_weight_that_is_not_whole_is_seen(exact_model):
    finer = planted(exact_model, "Conv", lambda x: x * np.float32(0.999))
    with pytest.raises(VariantRefused, match="times what float32 sums exactly"):
        largest_sum(finer)


def test_factor_right_behind_a_sum_is_seen(exact_model):
    """A runtime would multiply the weights with it, which would be whole no more."""
    active = next(x for x in exact_model.graph.node if x.op_type == "LeakyRelu")
    (factor,) = [x for x in exact_model.graph.node if active.output[0] in x.input]
    assert factor.op_type == "Mul"
    factor.input[0] = active.input[0]
    with pytest.raises(VariantRefused, match=r"Mul \(.*\) has no constant where one was wanted"):
        largest_sum(exact_model)


def test_factor_that_is_not_above_zero_is_seen(exact_model):
    active = next(x for x in exact_model.graph.node if x.op_type == "LeakyRelu")
    (factor,) = [x for x in exact_model.graph.node if active.output[0] in x.input]
    turned = planted(exact_model, factor.input[1], lambda x: -x)
    with pytest.raises(VariantRefused, match=r"Mul \(.*\) is by -\S+, which is not above 0"):
        largest_sum(turned)


@pytest.mark.parametrize("operator", ["Clip", "Round"])
def test_activation_without_a_bound_or_a_step_is_seen(exact_model, operator):
    node = [x for x in exact_model.graph.node if x.op_type == operator][-2]
    for other in exact_model.graph.node:
        other.input[:] = [node.input[0] if x == node.output[0] else x for x in other.input]
    with pytest.raises(VariantRefused, match=r"without a bound or a step|sums exactly|no step"):
        largest_sum(exact_model)


def test_largest_latents_overflow_nothing(exact_model, tmp_path):
    write_onnx(exact_model, tmp_path / "exact.onnx")
    signs = np.sign(latents(range(64), LATENT_DIM))
    rows = (signs * np.float32(1e30)).astype(np.float32)
    first, second = (Session(tmp_path / "exact.onnx", plan, 2).run(rows) for plan in PLANS)
    assert np.array_equal(first, second)
    assert np.array_equal(first, draw(exact_model, (signs * 9).astype(np.float32)))


def test_proof_sees_a_graph_whose_sums_are_not_exact(tmp_path):
    """Weights that are no whole numbers, and images that show the last bits of what they sum."""
    rng = np.random.default_rng(0)
    kept = {
        "first": rng.normal(size=(LATENT_DIM, 512)).astype(np.float32),
        "second": rng.normal(size=(512, 192)).astype(np.float32),
        "large": np.float32(2**14),
        "half": np.float32(0.5),
        "white": np.float32(255),
        "shape": np.array([-1, 8, 8, 3]),
    }
    node = helper.make_node
    nodes = [
        node("MatMul", [LATENTS, "first"], ["a"]),
        node("MatMul", ["a", "second"], ["b"]),
        node("Mul", ["b", "large"], ["c"]),
        node("Round", ["c"], ["d"]),
        node("Sub", ["c", "d"], ["e"]),
        node("Add", ["e", "half"], ["f"]),
        node("Mul", ["f", "white"], ["g"]),
        node("Cast", ["g"], ["h"], to=TensorProto.UINT8),
        node("Reshape", ["h", "shape"], ["images"]),
    ]
    found = prove(graph_of(nodes, kept, LATENT_DIM, [8, 8, 3]), tmp_path)
    assert "images are other bytes" in found[0]


def test_operator_without_an_exact_form_is_named(floats):
    node = next(x for x in floats.graph.node if x.name == "active2")
    node.op_type = "Elu"
    del node.attribute[:]
    with pytest.raises(VariantRefused, match=r"Elu \(.*\) cannot be computed exactly"):
        exact_graph(floats, RowFacts(LATENT_DIM), None)


def test_generator_that_takes_a_class_is_refused_by_name(tmp_path):
    with pytest.raises(VariantRefused, match="a generator that takes a class has no exact form"):
        exact_graph(generator("Relu"), RowFacts(LATENT_DIM, class_count=3), tmp_path)


def test_relu_has_an_exact_form_too(tmp_path):
    model, _ = exact_graph(generator("Relu"), RowFacts(LATENT_DIM), tmp_path)
    assert largest_sum(model) <= 1
    assert prove(model, tmp_path) == []


def fixed():
    """A graph of whole numbers alone, which no export has made: its bytes are known for ever."""
    rng = np.random.Philox(key=7)
    taps = (rng.random_raw(8 * 64 * 4) % np.uint64(17)).astype(np.float32).reshape(8, 64, 2, 2) - 8
    dense = (rng.random_raw(16 * 1024) % np.uint64(33)).astype(np.float32).reshape(16, 1024) - 16
    kept = {
        "steps": np.float32(64),
        "low": np.float32(-512),
        "high": np.float32(512),
        "dense": dense,
        "shape": np.array([-1, 64, 4, 4]),
        "eighth": np.float32(0.125),
        "least": np.float32(-1000),
        "most": np.float32(3000),
        "taps": taps / np.float32(64),
        "zero": np.float32(0),
        "last": np.float32(255),
        "table": np.arange(256, dtype=np.uint8),
    }
    node = helper.make_node
    nodes = [
        node("Mul", [LATENTS, "steps"], ["a"]),
        node("Round", ["a"], ["b"]),
        node("Clip", ["b", "low", "high"], ["c"]),
        node("Gemm", ["c", "dense"], ["d"]),
        node("LeakyRelu", ["d"], ["e"], alpha=0.2),
        node("Mul", ["e", "eighth"], ["f"]),
        node("Round", ["f"], ["g"]),
        node("Clip", ["g", "least", "most"], ["h"]),
        node("Reshape", ["h", "shape"], ["i"]),
        node("Conv", ["i", "taps"], ["j"], pads=[1, 1, 0, 0]),
        node("Clip", ["j", "zero", "last"], ["k"]),
        node("Cast", ["k"], ["l"], to=TensorProto.INT32),
        node("Gather", ["table", "l"], ["images"]),
    ]
    return graph_of(nodes, kept, 16, [8, 4, 4])


def graph_of(nodes, kept, latent_dim, shape):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "made",
        [value(LATENTS, TensorProto.FLOAT, ["batch", latent_dim])],
        [value("images", TensorProto.UINT8, ["batch", *shape])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in kept.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_bytes_on_this_processor_are_those_on_every_other(plan, tmp_path):
    """The digest was written down on an AMD EPYC with AVX-512; it has to hold anywhere."""
    model = fixed()
    assert largest_sum(model) <= 1
    write_onnx(model, tmp_path / "fixed.onnx")
    images = Session(tmp_path / "fixed.onnx", plan, 2).run(latents(range(64), 16))
    assert 40 < images.std() < 127, images.std()
    assert hashlib.sha256(images.tobytes()).hexdigest() == DIGEST


DIGEST = "08eccc8ab40490f551b6ffc97d6af966e1196673dfb4d1a080c8436b7a044315"

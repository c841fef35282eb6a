import random

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from export import convert as converting
from export.canonical import canonical
from export.convert import convert, dims
from export.errors import ConversionFailed


def rename_all(model, rng):
    """What another run of tf2onnx gives: other names, weights in another order."""
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output)}
    names = {}
    for node in graph.node:
        for name in (*node.input, *node.output):
            if name not in kept:
                names.setdefault(name, f"unk__{rng.random()}")
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        node.name = f"node {rng.random()}"
    weights = list(graph.initializer)
    rng.shuffle(weights)
    for weight in weights:
        weight.name = names[weight.name]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(weights)


def test_graph_takes_latents_and_gives_float_images_in_any_batch(converted):
    (latents,), (images,) = converted.graph.input, converted.graph.output
    assert (latents.name, dims(latents)) == ("latents", ["batch", 100])
    assert (images.name, dims(images)) == ("images", ["batch", 32, 32, 3])
    assert [(x.domain, x.version) for x in converted.opset_import] == [("", 18)]


def test_graph_draws_what_the_saved_model_draws(converted, reference):
    latents = np.random.default_rng(1).standard_normal((5, 100), np.float32)
    session = ort.InferenceSession(
        converted.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (images,) = session.run(None, {"latents": latents})
    np.testing.assert_allclose(images, reference(latents), rtol=0, atol=1e-5)


def test_names_and_order_from_tf2onnx_do_not_reach_the_file(converted):
    wanted = canonical(converted).SerializeToString(deterministic=True)
    for seed in range(3):
        altered = onnx.ModelProto()
        altered.CopyFrom(converted)
        rename_all(altered, random.Random(seed))
        assert altered.SerializeToString() != converted.SerializeToString()
        assert canonical(altered).SerializeToString(deterministic=True) == wanted


def test_another_weight_gives_another_file(converted):
    before = canonical(converted).SerializeToString(deterministic=True)
    weight = converted.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    assert canonical(converted).SerializeToString(deterministic=True) != before


def test_shapes_are_inferred_throughout(converted):
    shaped = {x.name: dims(x) for x in converted.graph.value_info}
    inner = [name for node in converted.graph.node for name in node.output if name != "images"]
    assert set(inner) == set(shaped)
    assert all(type(size) is int for shape in shaped.values() for size in shape[1:])


def test_what_a_converter_that_fails_says_last_is_told_in_one_line(tmp_path):
    broken = tmp_path / "saved_model"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"not a protocol buffer")
    with pytest.raises(ConversionFailed, match=r"tf2onnx cannot convert .*Error") as error:
        convert(broken, tmp_path, 100, (32, 32, 3))
    assert "\n" not in str(error.value)


@pytest.fixture
def convert_to(monkeypatch, tmp_path):
    """``convert`` with a converter that gives the model it is told to."""

    def run(model, latent_dim=100, shape=(32, 32, 3)):
        monkeypatch.setattr(converting, "_tf2onnx", lambda *_: model)
        return convert(tmp_path, tmp_path, latent_dim, shape)

    return run


def test_another_latent_dim_than_the_run_says_is_refused(converted, convert_to):
    with pytest.raises(ConversionFailed, match=r"'FLOAT', \['batch', 64\]\)\] was wanted"):
        convert_to(converted, latent_dim=64)


def test_another_image_shape_than_the_run_says_is_refused(converted, convert_to):
    with pytest.raises(ConversionFailed, match=r"\['batch', 64, 64, 3\].* was wanted"):
        convert_to(converted, shape=(64, 64, 3))


def test_a_fixed_batch_is_refused(converted, convert_to):
    converted.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ConversionFailed, match="was wanted"):
        convert_to(converted)


def test_a_second_output_is_refused(converted, convert_to):
    converted.graph.output.append(converted.graph.value_info[0])
    with pytest.raises(ConversionFailed, match="was wanted"):
        convert_to(converted)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_refused_by_name(converted, convert_to, bad):
    weight = converted.graph.initializer[0]
    values = numpy_helper.to_array(weight).copy()
    values.flat[7] = bad
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    with pytest.raises(ConversionFailed, match=f"{weight.name}.*NaN or infinite"):
        convert_to(converted)


def test_an_invalid_graph_is_refused(converted, convert_to):
    del converted.graph.node[0].input[1:]
    with pytest.raises(ConversionFailed, match="not valid ONNX"):
        convert_to(converted)

"""Conditional generators of every kind: from the file to images of a class, or refused."""

import io
import json
import urllib.error
import urllib.request

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers
from onnx import helper

from export.config import ExportConfig, SourceOptions
from export.convert import convert, write_onnx
from export.head import add_head
from export.parity import GOLDEN_PLAN, check_parity
from export.pipeline import export
from export.probes import make_probes
from export.reference import load_reference
from server.bundle.classes import classes_of
from server.bundle.files import load_bundle
from server.bundle.latents import latents
from server.runtime.open_session import open_session
from tests.export.serve import is_of
from tests.export.sources.conftest import WIDTH, keep, spread
from tests.export.sources.test_refusals import refused
from tests.servers import PYTHON, serving

DIM, COUNT = 12, 3
LARGE = keras.initializers.RandomNormal(stddev=1.0)
"""As Keras initialises them, embeddings are next to nothing, and all classes look alike."""


def drawn(x):
    """The end of every network here: to 8x8 in color."""
    x = layers.Reshape((4, 4, WIDTH))(layers.Dense(4 * 4 * WIDTH, activation="relu")(x))
    x = layers.Conv2DTranspose(WIDTH, 4, 2, "same", activation="relu")(x)
    return layers.Conv2D(3, 3, padding="same", activation="tanh")(x)


def beside_the_latents():
    """The label as a one-hot vector at the end of the latents, as in a guide of keras.io."""
    z = keras.Input((DIM + COUNT,))
    return keras.Model(z, drawn(z))


def as_index():
    """The label as a whole number, into an Embedding that is multiplied with the latents."""
    z, label = keras.Input((DIM,), name="z"), keras.Input((1,), dtype="int32", name="label")
    of_class = layers.Flatten()(layers.Embedding(COUNT, DIM, LARGE)(label))
    return keras.Model([z, label], drawn(layers.Multiply()([z, of_class])))


def as_float_index():
    """The label as a number of Keras's default type, before the latents, made into a map."""
    label, z = keras.Input((1,)), keras.Input((DIM,))
    of_class = layers.Reshape((4, 4, 1))(layers.Dense(16)(layers.Embedding(COUNT, 5, LARGE)(label)))
    x = layers.Reshape((4, 4, WIDTH))(layers.Dense(4 * 4 * WIDTH, activation="relu")(z))
    x = layers.Concatenate()([x, of_class])
    x = layers.Conv2DTranspose(WIDTH, 4, 2, "same", activation="relu")(x)
    x = layers.Conv2D(3, 3, padding="same", activation="tanh")(x)
    return keras.Model([label, z], x)


def as_one_hot():
    """The label as a one-hot vector in an input of its own."""
    z, label = keras.Input((DIM,), name="z"), keras.Input((COUNT,), name="label")
    return keras.Model([z, label], drawn(layers.Concatenate()([z, label])))


def wanted_levels(model, seeds, classes):
    """The images of Keras itself, in grey levels that are not rounded yet."""
    z, classes = latents(seeds, DIM), np.asarray(classes)
    one_hot = np.eye(COUNT, dtype=np.float32)[classes]
    if not isinstance(model.input, list):
        inputs = np.concatenate([z, one_hot], axis=1)
    else:
        of_class = {1: classes[:, None], COUNT: one_hot}
        sizes = [x.shape[1] for x in model.inputs]
        inputs = [z if size == DIM else of_class[size] for size in sizes]
    images = np.asarray(model(inputs, training=False), np.float64)
    return (images + 1) * 127.5


def wanted_bytes(model, seeds, classes):
    return np.rint(wanted_levels(model, seeds, classes)).astype(np.uint8)


KINDS = [
    (beside_the_latents, {"class_names": ("cat", "dog", "owl")}),
    (as_index, {}),
    (as_float_index, {}),
    (as_one_hot, {"class_names": ("cat", "dog", "owl")}),
]
NAMES = {build.__name__.replace("_", "-"): build for build, _ in KINDS}
by_kind = pytest.mark.parametrize(
    ("build", "options"), KINDS, ids=lambda x: getattr(x, "__name__", "")
)


def export_to(models, build, **options):
    """Export a generator of that kind, and return it; the bundle is in ``models``."""
    model = spread(build())
    file = keep(model, models / f"{build.__name__}.keras")
    name = build.__name__.replace("_", "-")
    asked = SourceOptions(**options)
    export(ExportConfig(file, name, models=models, options=asked), say=lambda _: None)
    return model


@by_kind
def test_every_kind_becomes_a_bundle_that_takes_latents_and_a_class(
    build, options, tmp_path, quick, on_cpu
):
    model = export_to(tmp_path, build, **options)
    bundle = load_bundle(tmp_path / build.__name__.replace("_", "-") / "1")
    manifest = bundle.manifest
    assert manifest.latents.dim == DIM
    assert manifest.classes == list(options.get("class_names", "012"))
    graph = onnx.load(str(bundle.path / "generator.onnx")).graph
    assert [x.name for x in graph.input] == ["latents", "class"]
    assert {seed % COUNT for seed in manifest.golden.seeds} == set(range(COUNT))
    session, _ = open_session(bundle, [GOLDEN_PLAN], threads=1)
    seeds, classes = [7, 7, 8, 2**64 - 1], [0, 2, 1, 2]
    images = session.run(latents(seeds, DIM), np.array(classes))
    wanted = wanted_bytes(model, seeds, classes)
    assert np.abs(images.astype(int) - wanted).max() <= 1
    assert (images != wanted).mean() < 0.01
    assert np.abs(images[0].astype(int) - images[1]).max() > 10, "the class decides"
    golden = wanted_bytes(model, manifest.golden.seeds, classes_of(manifest.golden.seeds, COUNT))
    assert np.abs(bundle.golden_images().astype(int) - golden).max() <= 1


def post(server, body):
    content = {"Content-Type": "application/json"}
    url = f"{server.url}/v1/images"
    return urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), content))


def infer(server, model, seeds, parameters, more=()):
    """Return the images of the latents of ``seeds``, by the Open Inference Protocol.

    ``more`` are inputs beside the latents.
    """
    rows = latents(seeds, DIM)
    tensor = {"name": "latents", "datatype": "FP32", "shape": rows.shape, "data": rows.tolist()}
    document = {"inputs": [*more, tensor], "parameters": parameters}
    url = f"{server.url}/v2/models/{model}/infer"
    with urllib.request.urlopen(url, json.dumps(document).encode()) as response:
        (output,) = json.load(response)["outputs"]
    return np.array(output["data"], np.uint8).reshape(output["shape"])


@pytest.mark.servers
def test_images_of_two_classes_are_keras_own_bytes_over_http(tmp_path, quick, on_cpu):
    models = {
        name: export_to(tmp_path, build, **options)
        for name, (build, options) in zip(NAMES, KINDS, strict=True)
    }
    settings = {
        "CARFRONT_MODELS": str(tmp_path),
        "CARFRONT_MODEL": "as-index",
        "CARFRONT_SERVE": "all",
        "CARFRONT_PROVIDER": "cpu",
    }
    with serving(PYTHON, settings) as server:
        for name, model in models.items():
            for number in (1, 2):
                url = f"{server.url}/v1/models/{name}/versions/1/images/5.png?class={number}"
                with urllib.request.urlopen(url) as response:
                    assert is_of(response.read(), wanted_levels(model, [5], [number])[0]), name
        with urllib.request.urlopen(f"{server.url}/v1/images/5.png") as response:
            wanted = wanted_levels(models["as-index"], [5], [5 % COUNT])[0]
            assert is_of(response.read(), wanted), "a seed has a class of its own"
        asked = {"model": "as-one-hot", "n": 2, "seed": 5, "class": "dog", "format": "npy"}
        images = np.load(io.BytesIO(post(server, asked).read()))
        wanted = wanted_bytes(models["as-one-hot"], [5, 6], [1, 1])
        assert np.abs(images.astype(int) - wanted).max() <= 1
        assert np.array_equal(infer(server, "as-one-hot", [5, 6], {"class": "dog"}), images)
        listed = post(server, {"model": "as-one-hot", "seeds": [7, 5], "format": "npy"})
        wanted = wanted_bytes(models["as-one-hot"], [7, 5], [7 % COUNT, 5 % COUNT])
        assert np.abs(np.load(io.BytesIO(listed.read())).astype(int) - wanted).max() <= 1
        wanted = wanted_bytes(models["as-one-hot"], [7, 5], [0, 1])
        by_row = infer(server, "as-one-hot", [7, 5], {})
        assert np.abs(by_row.astype(int) - wanted).max() <= 1, "latents have the class of their row"
        each = post(server, asked | {"class": ["owl", 0]})
        each = np.load(io.BytesIO(each.read()))
        wanted = wanted_bytes(models["as-one-hot"], [5, 6], [2, 0])
        assert np.abs(each.astype(int) - wanted).max() <= 1, "every image has a class of its own"
        tensor = {"name": "class", "datatype": "INT64", "shape": [2, 1], "data": [2, 0]}
        assert np.array_equal(infer(server, "as-one-hot", [5, 6], {}, [tensor]), each)
        with urllib.request.urlopen(f"{server.url}/v2/models/as-one-hot") as response:
            assert [x["name"] for x in json.load(response)["inputs"]] == ["latents", "class"]
        with urllib.request.urlopen(f"{server.url}/v2/models/as-one-hot/config") as response:
            assert [x.get("optional") for x in json.load(response)["input"]] == [None, True]
        with urllib.request.urlopen(f"{server.url}/v1/models/as-one-hot/metadata") as response:
            signature = json.load(response)["metadata"]["signature_def"]["signature_def"]
            assert signature["serving_default"]["inputs"]["class"]["dtype"] == "DT_INT64"
        for named, told in (
            ("cow", "class is 'cow'; wanted"),
            ([0, "cow"], "class[1] is 'cow'; wanted"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refusal:
                post(server, asked | {"class": named})
            detail = json.load(refusal.value)["detail"]
            assert detail == f'{told} "cat", "dog", "owl", or a number from 0 to 2'


def ignore_the_class(model):
    """Have the graph draw every image as one of class 0."""
    for node in model.graph.node:
        node.input[:] = ["zero" if name == "class" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Sub", ["class", "class"], ["zero"], "ignore"))


@by_kind
def test_graph_that_ignores_the_class_misses_parity(build, options, tmp_path, take_in):
    keep(spread(build()), tmp_path / "x.keras")
    run = take_in(tmp_path / "x.keras", **options)
    floats = convert(run.saved_model, tmp_path, DIM, (8, 8, 3), conditional=True)
    probes = make_probes(DIM, 0, class_count=COUNT)
    reference, path = load_reference(run.saved_model), tmp_path / "generator.onnx"

    def misses():
        write_onnx(add_head(floats), path)
        return check_parity(path, reference, probes, [GOLDEN_PLAN], threads=1).misses

    assert misses() == []
    ignore_the_class(floats)
    assert any("cpu f32: ordinary latents: largest difference" in miss for miss in misses())


def vague():
    """Two vectors, neither of which says that it is a class."""
    a, b = keras.Input((8,), name="a"), keras.Input((9,), name="b")
    return keras.Model([a, b], drawn(layers.Concatenate()([a, b])))


def of_a_map():
    z, label = keras.Input((8,), name="z"), keras.Input((4, 4, 2), name="label")
    x = layers.Reshape((4, 4, 1))(layers.Dense(16)(z))
    x = layers.Conv2D(3, 3, padding="same", activation="tanh")(layers.Concatenate()([x, label]))
    return keras.Model([z, label], x)


def of_noise():
    """A block of StyleGAN: noise for each pixel beside the latents."""
    z, noise = keras.Input((8,), name="z"), keras.Input((4, 4, 1), name="noise")
    x = layers.Reshape((4, 4, 2))(layers.Dense(32)(z))
    x = layers.Add()([x, layers.Conv2D(2, 1)(noise)])
    return keras.Model([z, noise], layers.Conv2D(3, 3, padding="same", activation="tanh")(x))


def of_any_index():
    z, label = keras.Input((8,), name="z"), keras.Input((1,), name="label")
    return keras.Model([z, label], drawn(layers.Concatenate()([z, label])))


def of_three():
    z, label, more = keras.Input((8,)), keras.Input((1,)), keras.Input((2,))
    return keras.Model([z, label, more], drawn(layers.Concatenate()([z, label, more])))


NAMED = r"named by --classes or --class-names; name 3"


@pytest.mark.parametrize(
    ("build", "options", "told"),
    [
        (
            vague,
            {},
            r"'a' \[8\] float32 and 'b' \[9\] float32, of which none is clearly",
        ),
        (vague, {"class_in": "c"}, r"none is clearly the class: add --class-in with the name"),
        (of_a_map, {}, r"'label' is a map for each image and not a class: save a generator that "),
        (
            of_noise,
            {},
            r"'noise' is a map beside the latents, as noise is: save a generator that h",
        ),
        (of_any_index, {}, r"does not tell of how many: add --classes with their number, or"),
        (of_three, {}, r"has 3 inputs, .*; save one that takes latents, and a class at most"),
        (as_index, {"classes": 4}, rf"has an Embedding of 3 classes, where 4 are {NAMED}"),
        (as_one_hot, {"classes": 4}, rf"one-hot vector of 3 classes, where 4 are {NAMED}"),
        (
            beside_the_latents,
            {"classes": 15},
            r"takes 15 values, of which .* 15 classes leaves no",
        ),
        (beside_the_latents, {"class_in": "end"}, r"has one input, .*: give --classes with the n"),
        (
            beside_the_latents,
            {"class_in": "y", "classes": 3},
            r"is not 'y' without more: give",
        ),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_class_that_cannot_be_taken_is_told_what_to_change(build, options, told, tmp_path, take_in):
    refused(take_in, keep(build(), tmp_path / "x.keras"), told, **options)


def test_input_of_the_class_is_named_where_nothing_tells(tmp_path, take_in):
    path = keep(spread(vague()), tmp_path / "x.keras")
    run = take_in(path, class_in="b")
    assert (run.latent_dim, len(run.classes)) == (8, 9)
    assert run.source["class_is"] == "a one-hot vector"
    assert take_in(path, classes=8).latent_dim == 9, "the vector of as many values is the class"


def test_one_hot_vector_may_stand_before_the_latents(tmp_path, take_in):
    model = spread(beside_the_latents())
    path = keep(model, tmp_path / "x.keras")
    draw = load_reference(take_in(path, classes=COUNT, class_in="start").saved_model)
    z = latents([4], DIM)
    images = draw(np.concatenate([z, [[2]]], axis=1).astype(np.float32))
    wanted = model(np.concatenate([[[0, 0, 1]], z], axis=1).astype(np.float32), training=False)
    np.testing.assert_allclose(images, wanted, atol=1e-5)


def test_saved_model_without_signatures_may_take_a_class(tmp_path, take_in):
    model = spread(as_index())
    module = tf.Module()
    module.model = model
    module.call = tf.function(
        lambda inputs: model(inputs, training=False),
        input_signature=[
            {
                "z": tf.TensorSpec((None, DIM), tf.float32, name="z"),
                "label": tf.TensorSpec((None, 1), tf.int32, name="label"),
            }
        ],
    )
    module.other = tf.function(lambda: 1.0, input_signature=())
    tf.saved_model.save(module, str(tmp_path / "any"))
    run = take_in(tmp_path / "any")
    assert (run.latent_dim, run.classes) == (DIM, ("0", "1", "2"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"classes": 1}, "--classes is 1; wanted 2 to 10000"),
        ({"classes": 3, "class_names": ("a", "b")}, "--classes is 3 and --class-names has 2 names"),
        ({"class_names": ("a", "b", "a")}, "--class-names: classes: 'a' is there twice"),
        ({"class_names": ("2", "1")}, "class 0 is called '2', another's number"),
    ],
)
def test_options_on_classes_that_contradict_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        SourceOptions(**options)

"""Triton reads a text of Protocol Buffers, so the configuration is parsed as one.

Source: the Triton Inference Server's model_config.proto, of which the fields below are a part.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from export.layout import main
from server.bundle import repository
from server.bundle.latents import latents

MODELS = Path(__file__).parents[2] / "models"
FIELDS = descriptor_pb2.FieldDescriptorProto
TYPES = {"TYPE_UINT8": 2, "TYPE_FP32": 11}


def model_config():
    """Return the class of messages that a ``config.pbtxt`` holds."""
    file = descriptor_pb2.FileDescriptorProto(name="config.proto", package="inference")
    kinds = file.enum_type.add(name="DataType")
    for name, number in {"TYPE_INVALID": 0, **TYPES}.items():
        kinds.value.add(name=name, number=number)
    _message(file, "ModelDynamicBatching")
    for name in ("ModelInput", "ModelOutput"):
        tensor = _message(file, name, name=(1, "STRING"), data_type=(2, "ENUM", "DataType"))
        tensor.field.add(name="dims", number=3 if name == "ModelOutput" else 4, **_many("INT64"))
    config = _message(
        file,
        "ModelConfig",
        name=(1, "STRING"),
        backend=(17, "STRING"),
        max_batch_size=(4, "INT32"),
        dynamic_batching=(11, "MESSAGE", "ModelDynamicBatching"),
    )
    for name, number, kind in (("input", 5, "ModelInput"), ("output", 6, "ModelOutput")):
        config.field.add(name=name, number=number, **_many("MESSAGE", kind))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def _message(file, called, /, **fields):
    message = file.message_type.add(name=called)
    for field, (number, kind, *of) in fields.items():
        facts = {"type": FIELDS.Type.Value(f"TYPE_{kind}"), "label": FIELDS.LABEL_OPTIONAL}
        named = {"type_name": f".inference.{of[0]}"} if of else {}
        message.field.add(name=field, number=number, **facts, **named)
    return message


def _many(kind, of=None):
    named = {"type_name": f".inference.{of}"} if of else {}
    return {"type": FIELDS.Type.Value(f"TYPE_{kind}"), "label": FIELDS.LABEL_REPEATED, **named}


def parsed(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config()())


@pytest.fixture(scope="module")
def bundle():
    return repository.find(MODELS, "cars-dcgan").path


def lay_out(bundle, out, *more):
    assert main([str(bundle), "--for", "triton", "--out", str(out), *more]) == 0
    return out / "cars-dcgan"


def test_configuration_says_what_the_graph_takes_and_gives(bundle, tmp_path, capsys):
    folder = lay_out(bundle, tmp_path, "--max-batch-size", "32")
    assert str(folder) in capsys.readouterr().out
    config = parsed(folder)
    assert (config.name, config.backend) == ("cars-dcgan", "onnxruntime")
    assert config.max_batch_size == 32
    assert config.HasField("dynamic_batching")
    tensors = [(x.name, x.data_type, list(x.dims)) for x in (*config.input, *config.output)]
    assert tensors == [("latents", 11, [100]), ("images", 2, [32, 32, 3])]


def test_model_draws_the_golden_images(bundle, tmp_path):
    folder = lay_out(bundle, tmp_path)
    manifest = json.loads((bundle / "manifest.json").read_text())
    graph = folder / manifest["version"] / "model.onnx"
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    (images,) = session.run(None, {"latents": latents(manifest["golden"]["seeds"], 100)})
    golden = np.load(bundle / "golden.npy").astype(int)
    assert np.abs(images - golden).max() <= 1


def test_versions_stand_side_by_side_and_again_is_as_well(bundle, tmp_path):
    older = bundle.with_name("1")
    for each in (older, bundle, bundle):
        folder = lay_out(each, tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert names == {"1", bundle.name, "config.pbtxt"}
    assert {path.name for path in (folder / "1").iterdir()} == {"model.onnx"}


def test_link_leads_to_the_bundle_from_anywhere(bundle, tmp_path):
    file = lay_out(bundle, tmp_path, "--link") / bundle.name / "model.onnx"
    assert file.is_symlink()
    assert file.resolve() == (bundle / "generator.onnx").resolve()


def test_other_variants_say_what_they_give(bundle, tmp_path):
    (images,) = parsed(lay_out(bundle, tmp_path, "--variant", "floats")).output
    assert (images.name, images.data_type) == ("images_float", 11)


def test_what_cannot_be_laid_out_is_one_sentence(bundle, tmp_path, capsys):
    (tmp_path / "file").touch()
    altered = shutil.copytree(bundle, tmp_path / "altered")
    (altered / "generator.onnx").write_bytes(b"")
    for arguments, told in (
        ([str(bundle), "--out", str(tmp_path / "file")], "give another --out"),
        ([str(bundle), "--out", str(tmp_path), "--variant", "fp8"], "has no variant 'fp8'"),
        ([str(altered), "--out", str(tmp_path)], "is not what was exported"),
    ):
        assert main([*arguments, "--for", "triton"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert told in error
        assert error.count("\n") == 1

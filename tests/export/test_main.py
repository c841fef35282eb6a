"""The command from end to end: real TensorFlow, tf2onnx and ONNX Runtime."""

import json
import re

import onnx
import pytest

from export import bench, pipeline
from export.__main__ import main
from export.probes import make_probes
from export.variants import quantize
from server.bundle import repository
from server.bundle.files import load_bundle
from server.runtime.plans import choose_plans
from tests.mounts import full, read_only


@pytest.fixture
def exporting(monkeypatch, converted_bytes, reference, quick):
    """Export without the slow steps; gives the graph that comes out of the converter, to alter."""
    model = onnx.load_from_string(converted_bytes)
    monkeypatch.setattr(pipeline, "convert", lambda *_: model)
    monkeypatch.setattr(pipeline, "apart", lambda *_: reference)
    return model


def swap_colors(model):
    """Put the last layer's bias for blue before that for red and green."""
    (bias,) = [x for x in model.graph.initializer if x.name == "Conv_1.2"]
    bias.raw_data = bias.raw_data[8:] + bias.raw_data[:8]


def arguments(config, *more):
    required = [str(config.run), "--name", config.name, "--version", config.version]
    return [*required, "--models", str(config.models), *more]


def test_second_export_of_the_same_run_gives_the_same_files(
    run_again, run_dir, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(pipeline, "make_probes", lambda dim: make_probes(dim, rows=0))
    monkeypatch.setattr(bench, "SECONDS", 0.01)  # of each measurement; what it finds is not tested
    for seeds in ("CALIBRATION_SEEDS", "TRIAL_SEEDS"):
        monkeypatch.setattr(quantize, seeds, range(10_000, 10_032))
    models = tmp_path / "models"
    for run, version in ((run_dir, "1"), (run_dir, "2"), (run_again, "3")):
        command = [str(run), "--name", "cars-dcgan", "--version", version, "--models", str(models)]
        assert main(command) == 0
    first, second, third = (models / "cars-dcgan" / version for version in "123")
    for name in ("generator.onnx", "generator-float.onnx", "generator-fp16.onnx"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    graphs = [onnx.load(str(x / "generator.onnx")) for x in (first, third)]
    stamps = [{x.key: x.value for x in graph.metadata_props} for graph in graphs]
    assert len(stamps[0]["carfront.saved_model_sha256"]) == 64
    assert stamps[0].keys() == stamps[1].keys()
    for graph in graphs:  # saved anew, the weights are the same and the digest is not
        del graph.metadata_props[:]
    assert graphs[0] == graphs[1]
    bundle = repository.find(models, "cars-dcgan")
    assert bundle.manifest.variant("fp32").rewrite.startswith("fold, ")
    assert (bundle.manifest.name, bundle.manifest.version) == ("cars-dcgan", "3")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"done: {models / 'cars-dcgan' / '3'}"
    assert [line for line in lines if line.startswith("cpu f32 ")]
    assert [line.split("  ")[0] for line in lines if line.endswith(" s")][-6:] == [
        "convert to ONNX",
        "compare with TensorFlow",
        "measure the speed",
        "try fp16",
        "try int8",
        "write the bundle",
    ]


def test_failed_parity_writes_no_bundle_and_lists_every_miss(exporting, config, capsys):
    swap_colors(exporting)
    assert main(arguments(config)) == 1
    assert not config.models.exists()
    said = capsys.readouterr()
    assert "error: parity failed in " in said.err
    assert "  - cpu f32: ordinary latents: largest difference" in said.err
    assert "done" not in said.out


def test_generator_that_a_rewrite_does_not_suit_gets_the_graph_of_the_converter(
    exporting, config, monkeypatch, capsys
):
    def spoil(model):
        spoilt = onnx.ModelProto()
        spoilt.CopyFrom(model)
        swap_colors(spoilt)
        return spoilt

    monkeypatch.setattr(pipeline, "FORMS", {"spoilt": spoil, "none": lambda model: model})
    assert main(arguments(config)) == 0
    assert load_bundle(config.target).manifest.variant("fp32").rewrite == "none"


def test_every_plan_that_a_server_would_choose_is_proven_and_no_other(exporting, config):
    assert main(arguments(config)) == 0
    bundle = load_bundle(config.target)
    proven = json.loads((bundle.path / "parity.json").read_text())["plans"]
    chosen = choose_plans(manifest=bundle.manifest)
    assert [*proven] == [f"{plan.provider} {plan.precision}" for plan in chosen]
    assert all(facts["same_in_any_batch"] for facts in proven.values())


def test_failed_parity_keeps_the_version_that_force_would_replace(exporting, config):
    config.target.mkdir(parents=True)
    (config.target / "manifest.json").write_text("old")
    swap_colors(exporting)
    assert main(arguments(config, "--force")) == 1
    assert (config.target / "manifest.json").read_text() == "old"
    assert [x.name for x in config.target.parent.iterdir()] == ["1"]


def test_existing_version_is_refused_before_any_work(config, capsys, monkeypatch):
    config.target.mkdir(parents=True)
    monkeypatch.setattr(pipeline, "convert", lambda *_: pytest.fail("it began to work"))
    assert main(arguments(config)) == 1
    assert "exists already; give the next --version, or --force" in capsys.readouterr().err


def refusal(config, capsys, *more):
    """The one sentence with which an export ends before any work."""
    assert main(arguments(config, *more)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.fixture
def no_work(monkeypatch):
    monkeypatch.setattr(pipeline, "convert", lambda *_: pytest.fail("it began to work"))


@pytest.mark.parametrize("place", ["models", "models/cars-dcgan", "models/cars-dcgan/1"])
def test_file_in_the_place_of_a_directory_is_told_before_any_work(place, config, capsys, no_work):
    file = config.models.parent / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    told = refusal(config, capsys, "--force")
    assert "cannot be written: it is no folder" in told or "Not a directory" in told
    assert file.is_file()


def test_read_only_repository_is_told_before_any_work(config, capsys, no_work):
    config.models.mkdir()
    with read_only(config.models):
        told = refusal(config, capsys)
    assert "Read-only file system" in told or "Permission denied" in told
    assert "give another --models" in told


def test_full_repository_is_told_before_any_work(config, capsys, no_work):
    config.models.mkdir()
    with full(config.models, left=1_000_000):
        told = refusal(config, capsys)
        assert [*config.models.iterdir()] == []
    assert re.search(r"the bundle takes about \d+ MB, 1 are free", told)


def test_size_of_a_bundle_is_not_guessed_too_small(exporting, config, run_dir):
    assert main(arguments(config)) == 0
    written = sum(path.stat().st_size for path in config.target.iterdir())
    assert written < pipeline._size(pipeline.read_run(run_dir))


def test_interrupt_while_writing_leaves_nothing(exporting, config, monkeypatch, capsys):
    def interrupted(draft, *_):
        (draft / "manifest.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "_prove", lambda *_: pipeline.Proven("none", None, None))
    monkeypatch.setattr(pipeline, "_measure", lambda *_: [])
    monkeypatch.setattr(pipeline, "write_contents", interrupted)
    assert main(arguments(config)) == 130
    assert not config.models.exists()
    assert "nothing was written" in capsys.readouterr().err


def test_missing_run_is_one_sentence_on_stderr(tmp_path, capsys):
    assert main([str(tmp_path / "none"), "--name", "cars", "--version", "1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("bad", [("--name", "Cars"), ("--version", "v1")])
def test_wrong_name_or_version_is_a_usage_error(config, capsys, bad):
    with pytest.raises(SystemExit) as stop:
        main(arguments(config, *bad))
    assert stop.value.code == 2
    assert f"{bad[0]} is '{bad[1]}'; wanted " in capsys.readouterr().err


def test_help_explains_itself(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "prove on this host" in said
    assert "example: python -m export" in said

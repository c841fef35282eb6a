"""The command from end to end: real TensorFlow, tf2onnx and ONNX Runtime."""

import json
import re
from html import escape
from pathlib import Path

import onnx
import pytest

from export import bench, pipeline
from export.__main__ import main, parse
from export.config import ExportConfig
from export.not_measured import DOCUMENTED
from export.run import read_run
from export.variants import exact, quantize
from server.bundle import repository
from server.bundle.files import load_bundle
from server.runtime.plans import choose_plans
from tests.export.conftest import hasten, stay_in_this_process
from tests.mounts import full, read_only

ROOT = Path(__file__).parents[2]


def skip_conversion(monkeypatch, converted_bytes, reference):
    """Return the graph that is to come out of the converter, and that can be altered."""
    model = onnx.load_from_string(converted_bytes)
    monkeypatch.setattr(pipeline, "convert", lambda *_, **__: model)
    monkeypatch.setattr(pipeline, "apart", lambda *_: reference)
    return model


@pytest.fixture
def exporting(monkeypatch, converted_bytes, reference, quick):
    """Export without the slow steps; gives the graph that comes out of the converter, to alter."""
    return skip_conversion(monkeypatch, converted_bytes, reference)


@pytest.fixture(scope="module")
def exported(run_dir, converted_bytes, reference, tmp_path_factory):
    """A bundle that was exported without the slow steps, proven on all plans. Read only."""
    config = ExportConfig(run_dir, "cars-dcgan", "1", models=tmp_path_factory.mktemp("models"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        hasten(monkeypatch)
        stay_in_this_process(monkeypatch)
        skip_conversion(monkeypatch, converted_bytes, reference)
        assert main(arguments(config)) == 0
    return load_bundle(config.target)


def swap_colors(model):
    """Put the last layer's bias for blue before that for red and green."""
    (bias,) = [x for x in model.graph.initializer if x.name == "Conv_1.2"]
    bias.raw_data = bias.raw_data[8:] + bias.raw_data[:8]


def arguments(config, *more):
    required = [str(config.source), "--name", config.name, "--version", config.version]
    return [*required, "--models", str(config.models), *more]


def test_second_export_of_the_same_run_gives_the_same_files(
    run_again, run_dir, tmp_path, capsys, monkeypatch
):
    """The first export has all steps, later ones those that the compared files come from."""
    monkeypatch.setattr(pipeline, "rows_for", lambda shape: 0)
    monkeypatch.setattr(bench, "SECONDS", 0.01)  # of each measurement; what it finds is not tested
    for seeds in ("CALIBRATION_SEEDS", "TRIAL_SEEDS"):
        monkeypatch.setattr(quantize, seeds, range(10_000, 10_032))
    monkeypatch.setattr(exact, "TRIAL_SEEDS", range(20_000, 20_128))
    models = tmp_path / "models"

    def export(run, version):
        command = [str(run), "--name", "cars-dcgan", "--version", version, "--models", str(models)]
        assert main(command) == 0

    export(run_dir, "1")
    lines = capsys.readouterr().out.splitlines()
    candidates = [x for x in pipeline.CANDIDATES if x.name == "fp16"]
    hasten(monkeypatch)
    stay_in_this_process(monkeypatch)
    monkeypatch.setattr(pipeline, "CANDIDATES", candidates)
    export(run_dir, "2")
    monkeypatch.setattr(pipeline, "CANDIDATES", ())
    export(run_again, "3")
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
    assert load_bundle(first).manifest.variant("fp32").rewrite.startswith("fold, ")
    assert (bundle.manifest.name, bundle.manifest.version) == ("cars-dcgan", "3")
    assert lines[-1] == f"done: {models / 'cars-dcgan' / '1'}"
    assert [line for line in lines if line.startswith("cpu f32 ")]
    assert [line.split("  ")[0] for line in lines if line.endswith(" s")][-8:] == [
        "convert to ONNX",
        "measure the rounding",
        "compare with TensorFlow",
        "measure the speed",
        "try fp16",
        "try int8",
        "try exact",
        "write the bundle",
    ]


def test_failed_parity_writes_no_bundle_and_lists_every_miss(exporting, on_cpu, config, capsys):
    swap_colors(exporting)
    assert main(arguments(config)) == 1
    assert not config.models.exists()
    said = capsys.readouterr()
    assert "error: parity failed in " in said.err
    assert "  - cpu f32: ordinary latents: largest difference" in said.err
    assert "done" not in said.out


def test_generator_that_a_rewrite_does_not_suit_gets_the_graph_of_the_converter(
    exporting, on_cpu, config, monkeypatch, capsys
):
    def spoil(model):
        spoilt = onnx.ModelProto()
        spoilt.CopyFrom(model)
        swap_colors(spoilt)
        return spoilt

    monkeypatch.setattr(pipeline, "FORMS", {"spoilt": spoil, "none": lambda model: model})
    assert main(arguments(config)) == 0
    assert load_bundle(config.target).manifest.variant("fp32").rewrite == "none"


def stumble(model):
    raise KeyError("axis")


def test_rewrite_that_raises_is_told_and_the_graph_of_the_converter_taken(
    exporting, on_cpu, config, monkeypatch, capsys
):
    monkeypatch.setattr(pipeline, "FORMS", {"odd": stumble, "none": lambda model: model})
    assert main(arguments(config)) == 0
    assert load_bundle(config.target).manifest.variant("fp32").rewrite == "none"
    told = "rewrites: odd: cannot be made of this graph (KeyError: 'axis')"
    assert told in capsys.readouterr().out.splitlines()


def test_graph_of_which_no_form_can_be_made_is_one_sentence(exporting, config, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "FORMS", {"odd": stumble, "none": stumble})
    assert main(arguments(config)) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: no form of the graph can be made, odd: KeyError: 'axis'; none: ")
    assert told.count("\n") == 1


def test_plans_that_this_host_cannot_try_are_listed_as_not_measured(exported):
    facts = json.loads((exported.path / "parity.json").read_text())
    tried = {plan.replace(" ", "/") for plan in facts["plans"]}
    missing = facts["not_measured"]
    assert tried.isdisjoint(missing)
    assert {str(plan) for plan in DOCUMENTED} == tried & {str(x) for x in DOCUMENTED} | {*missing}
    page = (exported.path / "report.html").read_text()
    for plan, reason in missing.items():
        assert f"<td>{plan}</td><td>{escape(reason)}</td>" in page


def test_training_and_serving_environments_have_the_same_runtime_and_so_choose_the_same_plans():
    def pinned(name):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        return [line for line in lines if line.startswith("onnxruntime")]

    assert pinned("dev") == pinned("serve") != []


def test_every_plan_that_a_server_would_choose_is_proven_and_no_other(exported):
    proven = json.loads((exported.path / "parity.json").read_text())["plans"]
    chosen = choose_plans(manifest=exported.manifest)
    assert [*proven] == [f"{plan.provider} {plan.precision}" for plan in chosen]
    assert all(facts["same_in_any_batch"] for facts in proven.values())


def test_failed_parity_keeps_the_version_that_force_would_replace(exporting, on_cpu, config):
    config.target.mkdir(parents=True)
    (config.target / "manifest.json").write_text("old")
    swap_colors(exporting)
    assert main(arguments(config, "--force")) == 1
    assert (config.target / "manifest.json").read_text() == "old"
    assert [x.name for x in config.target.parent.iterdir()] == ["1"]


def test_existing_version_is_refused_before_any_work(config, capsys, monkeypatch):
    config.target.mkdir(parents=True)
    monkeypatch.setattr(pipeline, "convert", lambda *_, **__: pytest.fail("it began to work"))
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
    monkeypatch.setattr(pipeline, "convert", lambda *_, **__: pytest.fail("it began to work"))


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


def test_size_of_a_bundle_is_not_guessed_too_small(exported, run_dir):
    written = sum(path.stat().st_size for path in exported.path.iterdir())
    assert written < pipeline._size(read_run(run_dir))


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
    assert "python -m export faces.keras --name faces" in said
    assert "conditional generator" in said


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (("--range", "0", "2"), "--range is 0 2; wanted -1 1 or 0 1 or 0 255"),
        (("--custom", "Layer"), "--custom is 'Layer'; wanted module:Name or file.py:Name"),
        (("--latents", "cauchy"), "invalid choice: 'cauchy'"),
    ],
)
def test_wrong_option_for_a_generator_from_elsewhere_is_a_usage_error(config, capsys, bad, told):
    with pytest.raises(SystemExit) as stop:
        main(arguments(config, *bad))
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_names_of_classes_are_a_list_or_the_lines_of_a_file(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("cat\nsmall, grey dog\n\n owl \n")
    command = ["x.keras", "--name", "pets", "--class-names"]
    assert parse([*command, "cat, dog,owl"]).options.class_names == ("cat", "dog", "owl")
    assert parse([*command, str(file)]).options.class_names == ("cat", "small, grey dog", "owl")
    many = [f"the pet of number {i}" for i in range(1000)]
    assert parse([*command, ",".join(many)]).options.class_names == tuple(many)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--classes", "1"], "--classes is 1; wanted 2 to 10000"),
        (["--class-names", "cat,dog,cat"], "--class-names: classes: 'cat' is there twice"),
        (["--class-names", "cat,dog", "--classes", "3"], "--classes is 3 and --class-names has 2"),
        (["--class-names", "no/names.txt"], "No such file or directory: 'no/names.txt'"),
    ],
)
def test_classes_that_contradict_each_other_are_told_before_any_work(options, told, capsys):
    with pytest.raises(SystemExit):
        parse(["x.keras", "--name", "pets", *options])
    assert told in capsys.readouterr().err

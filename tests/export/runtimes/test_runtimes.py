"""The command with runtimes that need no installation: this environment's own."""

import sys
from pathlib import Path

import pytest

from export.runtimes import __main__ as command
from export.runtimes import catalog, environments
from export.runtimes.catalog import RUNTIMES, Runtime
from export.runtimes.environments import RuntimeFailed, environment, told
from export.runtimes.table import notes, row
from export.runtimes.trial import ROWS, Result, try_graph
from server.bundle import repository
from server.bundle.latents import latents_range
from server.runtime.plans import Plan
from server.runtime.session import Session

MODELS = Path(__file__).parents[3] / "models"
LATENTS = latents_range(0, ROWS, 100)
HERE = Runtime("ONNX Runtime", ("onnxruntime==0",), "onnxruntime")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """An environment whose Python is this one."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "bin").mkdir()
    python = folder / "bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def wanted(model_path):
    return Session(model_path, Plan("cpu", "f32"), 1).run(LATENTS)


def test_runtime_that_draws_is_judged_in_both_batch_sizes(here, model_path, wanted):
    result = try_graph(HERE, here, model_path, LATENTS, wanted)
    assert result == Result(0, same_bytes=True, dynamic=True)


def test_difference_is_the_largest_in_levels(here, model_path, wanted):
    other = wanted.copy()
    other[5, 0, 0, 0] ^= 8
    result = try_graph(HERE, here, model_path, LATENTS, other)
    assert result.levels == 8


def test_converter_that_writes_into_its_graph_alters_a_copy(here, model_path, wanted, tmp_path):
    graph = tmp_path / "generator.onnx"
    graph.write_bytes(model_path.read_bytes())
    spoiler = tmp_path / "environment"
    (spoiler / "bin").mkdir(parents=True)
    python = spoiler / "bin/python"
    python.write_text(f'#!/bin/sh\n{sys.executable} "$@" && : > "$3"\n')
    python.chmod(0o755)
    assert try_graph(HERE, spoiler, graph, LATENTS, wanted).levels == 0
    assert graph.read_bytes() == model_path.read_bytes()


def test_runtime_that_fails_is_told_in_its_own_words(here, tmp_path, model_path, wanted):
    missing = Runtime("another", ("another==1",), "tract")
    result = try_graph(missing, here, model_path, LATENTS, wanted)
    assert result.levels is None
    assert result.failure == "ModuleNotFoundError: No module named 'tract'"


def test_runtime_of_one_batch_size_gets_a_graph_for_each(here, model_path, wanted, monkeypatch):
    drawn = []

    def draw(runtime, folder, graph, latents, shape, sizes):
        drawn.append(sizes)
        if len(sizes) > 1:
            raise RuntimeFailed("one size only")
        return {sizes[0]: wanted}

    monkeypatch.setattr("export.runtimes.trial._draw", draw)
    result = try_graph(HERE, here, model_path, LATENTS, wanted)
    assert drawn == [(7, 1), (7,), (1,)]
    assert result == Result(0, same_bytes=True, dynamic=False, failure="one size only")


def test_command_prints_a_row_a_runtime_and_why_one_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "RUNTIMES", (HERE,))
    monkeypatch.setattr(environments, "_commands", lambda *_: [["no-such-program"]])
    bundle = repository.find(MODELS, "cars-dcgan").path
    assert command.main([str(bundle), "--cache", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| ONNX Runtime | 0 | both | no |  |  |  |" in lines
    assert any(
        line.endswith("`generator.onnx`: not installed: no-such-program is not installed")
        for line in lines
    )
    assert command.main([str(tmp_path / "none"), "--cache", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_environment_is_made_once_and_anew_if_it_was_not_finished(tmp_path, monkeypatch):
    made = []

    def commands(runtime, kind, folder):
        made.append(folder)
        return [["touch", "installed"]]

    monkeypatch.setattr(environments, "_commands", commands)
    folder = environment(HERE, tmp_path)
    assert environment(HERE, tmp_path) == folder
    assert made == [folder]
    (folder / environments.DONE).unlink()
    (folder / "half").touch()
    environment(HERE, tmp_path)
    assert made == [folder, folder]
    assert not (folder / "half").exists()


def test_error_is_told_without_what_stands_around_it():
    output = "Traceback\n  line\nValueError: no bfloat16\nwarning: more\n\n"
    assert told(output) == "ValueError: no bfloat16"
    traced = "RuntimeError: no Cast\nStack backtrace:\n0: <anyhow::Error>::msg\n"
    assert told(traced) == "RuntimeError: no Cast"
    assert told("ERROR: no such version\nnotice: a new pip\n") == "ERROR: no such version"
    assert told("Aborted\n") == "Aborted"
    assert told("") == ""


def test_row_is_one_where_both_graphs_come_out_alike():
    good, bad = Result(1, True, True), Result(failure="it has no Round")
    assert row(HERE, {"a.onnx": good, "b.onnx": good}) == [
        "| ONNX Runtime | 0 | both | yes | 1 | yes | yes |"
    ]
    assert (
        row(HERE, {"a.onnx": bad, "b.onnx": good})[0]
        == "| ONNX Runtime | 0 | `a.onnx` | no |  |  |  |"
    )
    assert notes(HERE, {"a.onnx": bad, "b.onnx": good}) == [
        "- ONNX Runtime, `a.onnx`: it has no Round"
    ]


def test_every_runtime_is_pinned_and_known_to_what_draws():
    from export.runtimes import draw

    for runtime in RUNTIMES:
        assert all("==" in x or "@" in x for x in runtime.packages)
        assert runtime.version[0].isdigit()
        assert runtime.host != "python" or callable(getattr(draw, runtime.draw))
    assert len({runtime.name for runtime in catalog.RUNTIMES}) == len(RUNTIMES)

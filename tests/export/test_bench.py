import itertools
import json
import shutil
from pathlib import Path

import pytest

from export import bench
from export.bench import Rate, Subject, main, measure, table
from server.bundle import repository
from server.runtime.plans import Plan

ROOT = Path(__file__).parents[2]
CPU = Plan("cpu", "f32")


def test_each_subject_is_measured_in_each_size_and_the_median_is_told(model_path):
    ticks = itertools.count()
    rates, failed = measure(
        [Subject("fp32", model_path, CPU)], 100, 1, clock=lambda: float(next(ticks)), rounds=3
    )
    assert failed == []
    assert [rate.rows for rate in rates] == list(bench.BATCH_SIZES)
    assert all(rate.images_per_second == rate.rows for rate in rates)  # a run a second


def test_what_cannot_run_here_is_told_and_the_rest_is_measured(model_path, monkeypatch):
    monkeypatch.setattr(bench, "SECONDS", 1e-9)
    subjects = [Subject("fp32", model_path, plan) for plan in (Plan("cuda", "f32"), CPU)]
    rates, failed = measure(subjects, 100, 1, rounds=1)
    assert {rate.plan for rate in rates} == {"cpu/f32"}
    assert failed[0].startswith("fp32 on cuda/f32: not measured: ")


def test_table_has_a_line_a_plan_and_a_column_a_size():
    rates = [Rate("fp32", "cpu/f32", rows, 100.0 * rows) for rows in bench.BATCH_SIZES]
    lines = table(rates, ["no cuda"]).splitlines()
    assert lines[1].split() == ["fp32", "cpu/f32", "100", "800", "3,200", "6,400"]
    assert lines[2] == "no cuda"


def test_command_measures_every_variant_and_saves_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SECONDS", 1e-9)
    monkeypatch.setattr(bench, "choose_plans", lambda: [CPU])
    folder = shutil.copytree(repository.find(ROOT / "models", "cars-dcgan").path, tmp_path / "1")
    assert main([str(folder), "--threads", "1", "--save", str(tmp_path / "rates.json")]) == 0
    assert "images a second by batch size, 1 threads" in capsys.readouterr().out
    facts = json.loads((tmp_path / "rates.json").read_text())
    plans = {rate["plan"] for rate in facts["rates"]}
    assert plans == {"cpu/f32", "cpu/exact", "openvino/exact"}


def test_altered_bundle_is_refused(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("place", ["folder", "none/rates.json", "file/rates.json"])
def test_place_that_cannot_be_written_is_told_before_the_measurement(
    place, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("it measured"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert main([str(ROOT / "models/cars-dcgan/1"), "--save", str(tmp_path / place)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1

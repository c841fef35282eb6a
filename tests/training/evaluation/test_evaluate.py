"""The command judges a finished run, and ends in one sentence when it cannot."""

import json
import shutil

import pytest

from training import evaluate
from training.evaluation import inception, swd
from training.evaluation.runs import Run


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(swd, "PATCHES", 16)
    monkeypatch.setattr(swd, "DIRECTIONS", 8)


def no_network(weights=None):
    raise inception.NoInception("no weights here")


def test_run_is_judged_into_its_own_folder(run_folder, tmp_path, capsys):
    run = shutil.copytree(run_folder, tmp_path / "run")
    assert evaluate.main([str(run), "--images", "40", "--no-inception"]) == 0
    said = capsys.readouterr()
    assert "SWD x 1,000" in said.out
    assert said.out.endswith(f"done: {run / 'evaluation' / 'evaluation.html'}\n")
    assert "nearest photographs: 100%" in said.err
    facts = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert facts["evaluation"]["images"] == 40
    assert facts["results"]["images_per_half"] == 20
    assert "--no-inception" in facts["evaluation"]["no_inception"]


def test_same_seed_gives_the_same_numbers(run_folder, tmp_path):
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        command = [str(run_folder), "--images", "40", "--no-inception", "--seed", seed]
        assert evaluate.main([*command, "--out", str(tmp_path / name)]) == 0
    a, b, c = (json.loads((tmp_path / n / "evaluation.json").read_text()) for n in "abc")
    assert a == b
    assert a["results"] != c["results"]


def test_without_inception_the_rest_is_measured(run_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inception, "load_inception", no_network)
    command = [str(run_folder), "--images", "40", "--out", str(tmp_path)]
    assert evaluate.main(command) == 0
    assert "no weights here" in capsys.readouterr().out
    assert "no weights here" in (tmp_path / "evaluation.html").read_text()


def test_weights_that_were_named_have_to_be_good(run_folder, tmp_path, capsys):
    weights = tmp_path / "none.h5"
    command = [str(run_folder), "--out", str(tmp_path), "--inception-weights", str(weights)]
    assert evaluate.main(command) == 1
    assert (
        capsys.readouterr().err == f"error: --inception-weights {weights}: there is no such file\n"
    )
    assert not list(tmp_path.iterdir())


def test_run_that_cannot_be_judged_ends_in_a_sentence(tmp_path, capsys):
    assert evaluate.main([str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.startswith(
        f"error: {tmp_path / 'nowhere'}: there is no such run"
    )


def test_place_that_cannot_be_written_is_told_before_anything_is_drawn(
    run_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(Run, "draw", lambda *_: pytest.fail("it was drawn"))
    (tmp_path / "file").touch()
    assert evaluate.main([str(run_folder), "--out", str(tmp_path / "file")]) == 1
    told = f"error: --out {tmp_path / 'file'} cannot be written: it is no folder"
    assert capsys.readouterr().err.startswith(told)


def test_interrupted_evaluation_writes_nothing(run_folder, tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(swd, "descriptors", interrupted)
    command = [str(run_folder), "--images", "40", "--no-inception", "--out", str(tmp_path)]
    assert evaluate.main(command) == 130
    assert "stopped; nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("option", "value"), [("--images", "3"), ("--seed", "-1")])
def test_setting_out_of_range_is_named_with_its_value(option, value, capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate.parse(["run", f"{option}={value}"])
    assert f"{option} is {value}; wanted" in capsys.readouterr().err


class Screen:
    """A stream that says whether it is a terminal, and keeps what was written."""

    def __init__(self, live):
        self.live = live
        self.text = ""

    def isatty(self):
        return self.live

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_log_has_a_line_a_step_and_a_terminal_is_told_on_the_way():
    clock = iter(range(100)).__next__
    log, live = Screen(live=False), Screen(live=True)
    for screen in (log, live):
        tell = evaluate.Terminal(screen, clock).step("SWD")
        tell(0.5)
        tell(1)
    assert log.text == "SWD: 100%, 1 s\n"
    assert live.text == "\rSWD: 50%, 1 s\033[K\rSWD: 100%, 2 s\033[K\n"

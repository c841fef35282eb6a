"""The check of a GPU goes all its way where there is none."""

import json
import threading

import pytest

from tests.gpu import card, check
from tests.patience import PATIENCE_S


def run(tmp_path, *more):
    small = ["--largest", "2", "--seconds", "0.02", "--images", "16", "--parity-images", "16"]
    status = check.main([*small, "--http", "0", "--save", str(tmp_path / "gpu.json"), *more])
    return status, json.loads((tmp_path / "gpu.json").read_text())


def test_every_step_is_measured_on_the_stand_in(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(check, "used_mib", lambda: 100.0)  # not that of all tests of this process
    status, found = run(tmp_path, "--provider", "cpu")
    assert (status, found["faults"]) == (0, [])
    assert found["parity"]["fp32"]["levels"] == 0
    assert found["parity"]["fp16"]["levels"] == 1
    assert set(found["rates"]["fp16 + graphs"]) == {"1", "2"}
    assert set(found["in flight"]) == {"1", "2", "3"}
    assert found["memory"]["images"] >= 16
    assert found["kernels"]["tflops"] == pytest.approx(
        found["kernels"]["images_per_s"] * check.MFLOP / 1e6
    )
    assert found["kernels"]["bus_gb_per_s"] == pytest.approx(
        found["kernels"]["images_per_s"] * (4 * 100 + 32 * 32 * 3) / 1e9
    )
    assert "SessionError: asked for Tensorrt" in found["tensorrt"]["tensorrt/f16"]
    assert set(found["tensorflow"]) == {"1", "64", "1024"} or "not measured" in found["tensorflow"]
    assert "fp16 + graphs + nhwc" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("gpus", "peak"),
    [
        (["NVIDIA H200"], 989),
        (["NVIDIA A100-SXM4-80GB, 570.1"], 312),
        (["NVIDIA L4, 570.1", "NVIDIA H100 PCIe"], 121),
        (["NVIDIA GeForce"], None),
        ([], None),
    ],
)
def test_peak_is_that_of_the_first_card_if_it_is_known(gpus, peak):
    assert card.peak_tflops(gpus) == peak


def test_part_of_the_time_in_which_a_kernel_ran_is_the_mean_of_what_was_seen(monkeypatch):
    shares = [1.0, 0.0, 0.5, 0.5]
    seen = threading.Event()
    monkeypatch.setattr(card, "LOOK_S", 0.0)
    monkeypatch.setattr(card, "_busy_now", lambda: shares.pop() if shares else seen.set())
    with card.busy() as found:
        assert seen.wait(PATIENCE_S)
    assert found == {"gpu_busy": 0.5}


def test_card_that_tells_nothing_is_not_told_of(monkeypatch):
    monkeypatch.setattr(card, "_busy_now", lambda: None)
    with card.busy() as found:
        pass
    assert found == {}


def test_what_is_missing_is_told_and_the_rest_goes_on(tmp_path, monkeypatch, capsys):
    def nothing():
        raise RuntimeError("no such device")

    monkeypatch.setattr(check.Check, "bound", lambda self, way: nothing())
    status, found = run(tmp_path)
    assert status == 0
    assert found["rates"] == {"not measured": "RuntimeError: no such device"}
    assert "no such device" in capsys.readouterr().out


def test_wrong_golden_images_are_a_fault(tmp_path, monkeypatch):
    right = check.Check.bound

    def brighter(self, way):
        bound = right(self, way)
        draw = bound.run
        bound.run = lambda batch: draw(batch) // 2
        return bound

    monkeypatch.setattr(check.Check, "bound", brighter)
    status, found = run(tmp_path, "--provider", "cpu")
    assert status == 1
    assert found["faults"][0].startswith("fp32 + no tf32: golden images are off by ")


def test_unknown_provider_is_refused(capsys):
    with pytest.raises(SystemExit):
        check.main(["--provider", "tpu"])
    assert "invalid choice" in capsys.readouterr().err

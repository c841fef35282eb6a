"""A run trains on real photographs, goes on where it was killed, and stops when it diverges."""

import csv
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.mounts import full
from tests.patience import PATIENCE_S
from training.__main__ import main
from training.batches import Batches
from training.callbacks import AfterEachEpoch, Diverged, sample_latents
from training.checkpoints import Checkpoints
from training.choice import NotKept
from training.cluster import ALONE
from training.config import MEASURES, TrainConfig
from training.data import load_images
from training.evaluation.swd import SwdResult
from training.exchange import Exchange
from training.gan import DCGAN
from training.hardware import choose_policy
from training.interrupt import Interrupt, Stopped
from training.lineage import note_code, trained_with
from training.run_directory import RunMismatch
from training.samples import grid, to_uint8
from training.trainer import train

ROOT = Path(__file__).parents[2]


def config(out, **settings):
    defaults = {"epochs": 2, "batch_size": 8, "limit_images": 32, "precision": "float32"}
    defaults |= {"statistics_passes": 2, "swd_images": 16, "decay_to": 2}
    return TrainConfig(out=out, **(defaults | settings))


def measure_few_statistics(patch):
    patch.setattr("training.callbacks.SAMPLE_PASSES", 1)
    patch.setattr("training.ema.PASS", 16)


@pytest.fixture(autouse=True)
def few_statistics(monkeypatch):
    measure_few_statistics(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, photographs):
    """A run of two epochs that nobody interrupted, on photographs from a folder."""
    with pytest.MonkeyPatch.context() as patch:
        measure_few_statistics(patch)
        patch.setenv("CARFRONT_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("photographs")
        for n, image in enumerate(photographs[:32]):
            Image.fromarray(image).save(folder / f"{n:02}.png")
        out = tmp_path_factory.mktemp("runs") / "whole"
        train(config(out), load_images("folder", folder))
    return out


@pytest.fixture(scope="module")
def first_epoch(tmp_path_factory, photographs):
    """A run of the same photographs that has done one epoch."""
    out = tmp_path_factory.mktemp("runs") / "first-epoch"
    with pytest.MonkeyPatch.context() as patch:
        measure_few_statistics(patch)
        train(config(out, epochs=1), photographs[:32])
    return out


@pytest.fixture
def begun(first_epoch, tmp_path):
    """A copy of that run, to go on with."""
    return shutil.copytree(first_epoch, tmp_path, dirs_exist_ok=True)


def weights(run):
    """Return the numbers in a run's newest checkpoint, optimizers included.

    All but the averaged generator's batch statistics: these are measured anew for every picture.
    """
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    names = [n for n in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in n]
    names = [n for n in names if not ("ema_generator" in n and "moving" in n)]
    return {name: reader.get_tensor(name) for name in names}


def history(run):
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


def test_run_leaves_model_facts_history_and_pictures(whole):
    facts = json.loads((whole / "run.json").read_text())
    assert facts["data"]["images"] == 32
    assert facts["data"]["layout"] == "folder of images: 32 images"
    assert facts["steps"] == 8
    assert facts["recipe"]["policy"] == "float32"
    assert set(facts["metrics"]) == {"d_loss", "g_loss", "d_real", "d_fake", *MEASURES}
    rows = history(whole)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for name in ("epoch-0001", "epoch-0002", "final"):
        with Image.open(whole / "samples" / f"{name}.png") as picture:
            assert picture.size == (684, 684)


def test_rates_fell_as_the_settings_say(whole):
    rates = [value for name, value in weights(whole).items() if "learning_rate" in name]
    assert rates == pytest.approx([1e-4, 1e-4])


def test_saved_model_draws_images_from_latents(whole):
    signature = tf.saved_model.load(str(whole / "saved_model")).signatures["serving_default"]
    images = signature(latents=tf.zeros((3, 100)))["images"]
    assert images.shape == (3, 32, 32, 3)
    assert float(tf.reduce_max(tf.abs(images))) <= 1


def test_interrupted_run_ends_with_the_same_weights(whole, begun, photographs):
    train(config(begun, epochs=2), photographs[:32])
    wanted, found = weights(whole), weights(begun)
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        if "save_counter" not in name:
            np.testing.assert_array_equal(value, found[name], err_msg=name)


def test_killed_run_goes_on_from_its_last_epoch(tmp_path):
    command = [
        *(sys.executable, "-m", "training", "--out", str(tmp_path), "--epochs", "1000"),
        *("--limit-images", "16", "--batch-size", "8"),
        *("--statistics-passes", "1", "--swd-images", "16"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "checkpoints" / "ckpt-2.index").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)  # between two looks
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = int(tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).rpartition("-")[2])
    command[command.index("1000")] = str(done + 1)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert ended.returncode == 0, ended.stderr
    assert f"{done} epochs are done, going on from there" in ended.stdout
    assert f"epoch {done + 1}/{done + 1}" in ended.stdout
    rows = history(tmp_path)
    assert int(rows[-1]["epoch"]) == done + 1


def test_run_directory_of_other_settings_is_refused(whole, photographs):
    with pytest.raises(RunMismatch, match="seed was 0, is 1"):
        train(config(whole, seed=1), photographs[:32])
    with pytest.raises(RunMismatch, match="data_sha256"):
        train(config(whole), photographs[32:64])


def test_divergence_stops_the_run_and_keeps_the_last_good_checkpoint(
    begun, photographs, monkeypatch
):
    before = weights(begun)
    step = DCGAN._train_generator
    monkeypatch.setattr(DCGAN, "_train_generator", lambda *a: step(*a) * float("nan"))
    with pytest.raises(Diverged, match=r"g_loss became nan in batch 1\. The checkpoint of epoch 1"):
        train(config(begun, epochs=2), photographs[:32])
    after = weights(begun)
    assert all((before[name] == after[name]).all() for name in before)


def test_weight_that_is_not_finite_is_never_saved(tmp_path, photographs, monkeypatch):
    update = DCGAN._train_generator

    def spoil(gan, latents):
        loss = update(gan, latents)
        gan.generator.layers[0].bias.assign(gan.generator.layers[0].bias * float("inf"))
        return loss

    monkeypatch.setattr(DCGAN, "_train_generator", spoil)
    with pytest.raises(Diverged):
        train(config(tmp_path, epochs=1, limit_images=8), photographs[:8])
    assert not list((tmp_path / "checkpoints").glob("ckpt-*"))


def test_order_depends_on_seed_and_epoch_alone(photographs):
    first = Batches(photographs[:128], 32, seed=0, epoch=0)
    first.on_epoch_end()
    later = Batches(photographs[:128], 32, seed=0, epoch=1)
    assert (first.order == later.order).all()
    assert (first.order != Batches(photographs[:128], 32, seed=0, epoch=0).order).any()
    assert (later.order != Batches(photographs[:128], 32, seed=1, epoch=1).order).any()
    (batch,) = later[3]
    assert batch.shape == (32, 32, 32, 3)
    assert batch.dtype == np.float32
    assert -1 <= batch.min() < -0.5
    assert 0.5 < batch.max() <= 1


def test_flip_mirrors_about_half_of_the_images(photographs, tmp_path):
    gan = DCGAN(config(tmp_path), "float32")
    images = photographs[:200].astype(np.float32)
    flipped = np.asarray(gan._flip(tf.constant(images)))
    same = (flipped == images).all(axis=(1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same | mirrored).all()
    assert 60 < mirrored.sum() < 140


def test_precision_that_was_chosen_is_kept():
    assert choose_policy("float32") == "float32"
    assert choose_policy("auto") in ("float32", "mixed_bfloat16", "mixed_float16")


def test_numbers_and_pictures_are_there_for_tensorboard(whole):
    events = EventAccumulator(str(whole / "tensorboard"), {"tensors": 0}).Reload()
    assert {"d_loss", "g_loss", "swd", "images_per_s", "samples"} <= set(events.Tags()["tensors"])
    assert [event.step for event in events.Tensors("g_loss")] == [1, 2]
    losses = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("g_loss")]
    assert losses == pytest.approx([float(row["g_loss"]) for row in history(whole)], rel=1e-5)


def test_film_has_a_frame_an_epoch(whole):
    with Image.open(whole / "film.webp") as film:
        assert (film.n_frames, film.size) == (2, (342, 342))


@pytest.mark.parametrize("distances", [(5.0, 9.0), (9.0, 5.0)])
def test_epoch_of_the_smallest_distance_is_exported(distances, tmp_path, photographs, monkeypatch):
    told = iter(distances)
    monkeypatch.setattr(
        "training.choice.sliced_wasserstein", lambda real, fake: SwdResult({32: next(told)}, 16)
    )
    train(config(tmp_path), photographs[:32])
    facts = json.loads((tmp_path / "run.json").read_text())
    best = distances.index(5.0) + 1
    assert (facts["exported_epoch"], facts["metrics"]["swd"]) == (best, 5.0)
    assert facts["metrics"]["g_loss"] == float(history(tmp_path)[best - 1]["g_loss"])
    exported = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_default"]
    drawn = to_uint8(exported(latents=tf.constant(sample_latents()))["images"].numpy())
    epochs = [f"epoch-{epoch:04d}" for epoch in (1, 2)]
    errors = [np.abs(sheet(tmp_path, name) - grid_of(drawn)).mean() for name in epochs]
    assert errors.index(min(errors)) + 1 == best


def sheet(run, name):
    with Image.open(run / "samples" / f"{name}.png") as picture:
        return np.asarray(picture).astype(int)


def grid_of(images):
    return np.asarray(grid(images, columns=10)).astype(int)


def test_other_measure_exports_its_own_best_epoch_without_training_again(
    tmp_path, photographs, monkeypatch
):
    swd, features = iter((5.0, 9.0)), iter((9.0, 5.0))
    monkeypatch.setattr(
        "training.choice.sliced_wasserstein", lambda *_: SwdResult({32: next(swd)}, 16)
    )
    monkeypatch.setattr("training.choice.frechet_distance", lambda *_: next(features))
    train(config(tmp_path), photographs[:32])
    checkpoint = (tmp_path / "checkpoints" / "ckpt-2.index").stat().st_mtime_ns
    epochs = {}
    for measure in MEASURES:
        train(config(tmp_path, choose_by=measure), photographs[:32])
        facts = json.loads((tmp_path / "run.json").read_text())
        epochs[measure] = facts["exported_epoch"]
        assert (facts["chosen_by"], facts["metrics"][measure]) == (measure, 5.0)
    assert epochs == {"swd": 1, "features": 2}
    assert (tmp_path / "checkpoints" / "ckpt-2.index").stat().st_mtime_ns == checkpoint


def test_epoch_that_was_kept_is_exported_and_another_one_is_refused(tmp_path, photographs):
    train(config(tmp_path, epochs=3, keep_every=2), photographs[:16])
    train(config(tmp_path, epochs=3, keep_every=2, choose_by="2"), photographs[:16])
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["exported_epoch"], facts["steps"]) == (2, 6)
    with pytest.raises(NotKept, match=r"did not keep epoch 1 for --choose-by; it kept 2, 3"):
        train(config(tmp_path, epochs=3, keep_every=2, choose_by="1"), photographs[:16])
    assert json.loads((tmp_path / "run.json").read_text()) == facts


def test_run_that_was_never_measured_by_features_says_by_what_it_was(begun, photographs):
    (begun / "best" / "best-features.npz").unlink()  # as in a run that is older than these
    with pytest.raises(NotKept, match=r"was measured by features; another --choose-by is: swd"):
        train(config(begun, epochs=1, choose_by="features"), photographs[:32])


def test_interrupted_run_of_another_recipe_ends_with_the_same_weights(tmp_path, photographs):
    settings = {"loss": "hinge", "r1_weight": 1.0, "r1_every": 3}
    one, two = tmp_path / "one", tmp_path / "two"
    train(config(one, **settings), photographs[:32])
    train(config(two, epochs=1, **settings), photographs[:32])
    train(config(two, epochs=2, **settings), photographs[:32])
    wanted, found = weights(one), weights(two)
    for name, value in wanted.items():
        if "save_counter" not in name:
            np.testing.assert_array_equal(value, found[name], err_msg=name)


@pytest.mark.parametrize("wanted", [1, 2])
def test_steps_are_those_of_the_epochs(wanted, begun, photographs):
    train(config(begun, epochs=wanted), photographs[:32])
    facts = json.loads((begun / "run.json").read_text())
    assert (facts["epochs"], facts["steps"]) == (wanted, 4 * wanted)


def test_lines_within_an_epoch_tell_how_far_it_is_where_no_bar_does(
    whole, photographs, monkeypatch, tmp_path, capsys
):
    clock = itertools.count(step=20.0)  # seconds, more at every look
    checkpoints = Checkpoints(tmp_path, DCGAN(config(tmp_path), "float32"))
    after = AfterEachEpoch(
        config(tmp_path),
        photographs[:32],
        checkpoints,
        Interrupt(),
        Exchange(tf.distribute.get_strategy(), ALONE),
        within=True,
        now=clock.__next__,
    )
    after.set_model(checkpoints.gan)
    after.on_epoch_begin(1)
    for batch in range(4):
        after.on_train_batch_end(batch, {"g_loss": 0.5})
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        "epoch 2/2, batch 2/4",
        "epoch 2/2, batch 4/4",
    ]
    assert all("g_loss 0.500" in line and "images/s" in line for line in lines)


@pytest.fixture(scope="module")
def unmeasured(tmp_path_factory, photographs):
    """A run of two epochs whose images were not held against photographs."""
    out = tmp_path_factory.mktemp("runs") / "unmeasured"
    with pytest.MonkeyPatch.context() as patch:
        measure_few_statistics(patch)
        train(config(out, swd_every=0), photographs[:32])
    return out


def test_without_measurements_the_last_epoch_is_exported(unmeasured):
    facts = json.loads((unmeasured / "run.json").read_text())
    assert facts["exported_epoch"] == 2
    assert "swd" not in facts["metrics"]
    assert not (unmeasured / "best").exists()


def files(run):
    """Return the contents of all files of a run."""
    return {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("run", "swd_every"), [("unmeasured", 0), ("whole", 1)])
def test_fewer_epochs_than_are_done_are_refused_and_nothing_is_rewritten(
    run, swd_every, request, photographs
):
    out = request.getfixturevalue(run)
    before = files(out)
    told = r"has reached epoch 2, and --epochs is 1; give 2 or more, or another --out"
    with pytest.raises(RunMismatch, match=told):
        train(config(out, swd_every=swd_every, epochs=1), photographs[:32])
    assert files(out) == before


def test_best_epoch_whose_checkpoint_was_never_written_counts_as_reached(
    begun, photographs, monkeypatch
):
    def killed(checkpoints, epochs_done):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.checkpoints.Checkpoints.save", killed)
        patch.setattr("training.choice.sliced_wasserstein", lambda *_: SwdResult({32: 0.0}, 16))
        with pytest.raises(KeyboardInterrupt):
            train(config(begun, epochs=2), photographs[:32])
    with pytest.raises(RunMismatch, match="has reached epoch 2, and --epochs is 1"):
        train(config(begun, epochs=1), photographs[:32])


def test_kill_between_an_epochs_checkpoint_and_its_report_leaves_a_run_that_can_be_finished(
    tmp_path, photographs, monkeypatch
):
    save = Checkpoints.save

    def killed_after_it(checkpoints, epochs_done):
        save(checkpoints, epochs_done)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", killed_after_it)
        with pytest.raises(KeyboardInterrupt):
            train(config(tmp_path, epochs=1), photographs[:16])
    train(config(tmp_path, epochs=1), photographs[:16])
    facts = json.loads((tmp_path / "run.json").read_text())
    assert set(facts["metrics"]) == {"d_loss", "g_loss", "d_real", "d_fake", *MEASURES}


def test_kill_while_the_model_is_written_leaves_no_facts_of_another_model(
    begun, photographs, monkeypatch
):
    def killed(weights, path, config):
        (path / "saved_model.pb").write_bytes(b"")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.trainer.export_generator", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config(begun, epochs=2), photographs[:32])
    assert not (begun / "run.json").exists()
    train(config(begun, epochs=2), photographs[:32])
    assert json.loads((begun / "run.json").read_text())["epochs"] == 2


def test_every_code_that_trained_the_exported_epoch_is_in_the_facts(
    tmp_path, photographs, monkeypatch
):
    def train_with(commit, epochs):
        monkeypatch.setattr("training.lineage.git_commit", lambda: commit)
        train(config(tmp_path, swd_every=0, epochs=epochs), photographs[:16])
        return json.loads((tmp_path / "run.json").read_text())

    assert train_with("a", 1)["git_commit"] == "a"
    assert train_with("b", 1)["git_commit"] == "a"  # nothing was left to train
    facts = train_with("b", 3)
    assert [(x["from_epoch"], x["git_commit"]) for x in facts["trained_with"]] == [
        (1, "a"),
        (2, "b"),
    ]
    assert facts["git_commit"] == "b"
    assert facts["versions"] == facts["trained_with"][1]["versions"]


def test_code_of_a_run_that_is_older_than_the_notes_is_unknown(tmp_path):
    note_code(tmp_path, 7)
    assert [x["from_epoch"] for x in trained_with(tmp_path, 7)] == [1]
    assert trained_with(tmp_path, 7)[0]["git_commit"] is None
    assert [x["from_epoch"] for x in trained_with(tmp_path, 8)] == [1, 8]


def test_interrupt_finishes_the_epoch_and_goes_on_later(tmp_path, photographs, monkeypatch):
    def interrupted_step(gan, latents, update=DCGAN._train_generator):
        os.kill(os.getpid(), signal.SIGINT)  # while the step is traced, in the first batch
        return update(gan, latents)

    with monkeypatch.context() as patch:
        patch.setattr(DCGAN, "_train_generator", interrupted_step)
        with pytest.raises(Stopped, match="stopped after epoch 1 of 2"):
            train(config(tmp_path), photographs[:32])
    assert [row["epoch"] for row in history(tmp_path)] == ["1"]
    assert (tmp_path / "film.webp").exists()
    assert not (tmp_path / "run.json").exists()
    train(config(tmp_path), photographs[:32])
    assert json.loads((tmp_path / "run.json").read_text())["steps"] == 8


def test_discriminator_that_has_won_is_told(tmp_path, photographs, monkeypatch, capsys):
    monkeypatch.setattr("training.callbacks.WON", 1.0)
    monkeypatch.setattr("training.callbacks.WON_EPOCHS", 2)
    train(config(tmp_path, epochs=3, swd_every=0), photographs[:16])
    told = capsys.readouterr().out
    assert told.count("the discriminator has won for 2 epochs") == 1
    assert "--discriminator-learning-rate" in told


@pytest.mark.parametrize(
    ("left", "what"),
    [(8_000_000, "the averaged generator"), (24_000_000, "the checkpoint")],
)
def test_full_disk_ends_a_training_in_a_sentence(
    tmp_path, photographs, monkeypatch, capsys, left, what
):
    monkeypatch.setattr("training.__main__.load_images", lambda *_, **__: photographs[:16])
    few = ["--batch-size", "8", "--swd-images", "8", "--statistics-passes", "1", "--epochs", "1"]
    with full(tmp_path, left=left):
        assert main(["--out", str(tmp_path / "run"), *few]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {what} of epoch 1 cannot be written: ")
    assert "No space left on device" in told
    assert told.count("\n") == 1

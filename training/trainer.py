"""The training run: epochs over the photographs, and at the end a SavedModel with its lineage."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from training.batches import Batches
from training.best import Best
from training.callbacks import AfterEachEpoch, History, sample_latents
from training.checkpoints import Checkpoints, writing
from training.config import TrainConfig
from training.data import Images, digest
from training.ema import estimate_batch_statistics
from training.gan import DCGAN
from training.hardware import choose_policy, choose_strategy
from training.interrupt import Interrupt, Stopped
from training.lineage import note_code, trained_with, write_json
from training.models import LATENT_DIM, build_generator
from training.run_directory import check_epochs, claim
from training.samples import draw, grid, save_film


def train(config: TrainConfig, images: Images, progress: bool = False) -> Path:
    """Train until ``config.epochs`` are done and return the SavedModel's directory.

    The training goes on from the newest checkpoint in ``config.out``. ``images`` is uint8
    [N, size, size, 3]; ``progress`` shows a bar that moves with every batch. Ctrl-C lets the epoch
    finish.

    Raises:
        Diverged: a loss or a weight is no longer finite.
        RunMismatch: ``config.out`` holds a run with other settings, or with more epochs.
        Stopped: Ctrl-C came, and the epoch in which it came is done and saved.
    """
    policy = choose_policy(config.precision)
    claim(config.out, config.recipe() | {"policy": policy, "data_sha256": digest(images)})
    keras.utils.set_random_seed(config.seed)
    with choose_strategy(config.strategy).scope():
        gan = DCGAN(config, policy)
        checkpoints = Checkpoints(config.out / "checkpoints", gan)
    done = checkpoints.restore()
    # A kill between an epoch's measurement and its checkpoint leaves the best one ahead.
    check_epochs(config.out, config.epochs, max(done, Best(config.out / "best").epoch or 0))
    (config.out / "samples").mkdir(exist_ok=True)
    if done:
        print(f"{config.out}: {done} epochs are done, going on from there", flush=True)
    if done < config.epochs:
        note_code(config.out, done)
        with Interrupt() as interrupt:
            gan.fit(
                Batches(images, config.batch_size, config.seed, done),
                epochs=config.epochs,
                initial_epoch=done,
                shuffle=False,
                verbose=1 if progress else 0,
                callbacks=[AfterEachEpoch(config, images, checkpoints, interrupt)],
            )
    save_film(sorted((config.out / "samples").glob("epoch-*.png")), config.out / "film.webp")
    if checkpoints.epochs_done < config.epochs:
        raise Stopped(f"stopped after epoch {checkpoints.epochs_done} of {config.epochs}")
    best = Best(config.out / "best")
    weights = gan.ema_generator.get_weights() if best.epoch is None else best.weights()
    run_json = config.out / "run.json"
    run_json.unlink(missing_ok=True)  # a kill must not leave it beside another SavedModel
    saved_model = export_generator(weights, config.out / "saved_model", config)
    write_json(run_json, run_facts(config, policy, images, gan, best))
    return saved_model


def export_generator(weights: list[Any], path: Path, config: TrainConfig) -> Path:
    """Write the generator of these ``weights``, in float32, with measured batch statistics.

    The SavedModel's signature ``serving_default`` takes ``latents`` float32 [N, 100] and returns
    ``images`` float32 [N, size, size, 3] in [-1, 1].
    """
    generator = build_generator(size=config.size)
    generator.set_weights(weights)
    estimate_batch_statistics(generator, config.statistics_passes)
    archive = keras.export.ExportArchive()
    archive.track(generator)
    archive.add_endpoint(
        "serving_default",
        lambda latents: {"images": generator(latents, training=False)},
        input_signature=[tf.TensorSpec((None, LATENT_DIM), tf.float32, name="latents")],
    )
    with writing("the SavedModel"):
        archive.write_out(str(path), verbose=False)
    sheet = grid(draw(generator, sample_latents()), columns=10)
    sheet.save(config.out / "samples" / "final.png")
    return path


def run_facts(
    config: TrainConfig, policy: str, images: Images, gan: DCGAN, best: Best
) -> dict[str, Any]:
    """Return the contents of ``run.json``: enough to train this model again and to judge it."""
    history = History(config.out / "history.csv", config.epochs)
    exported = config.epochs if best.epoch is None else best.epoch
    row = next(row for row in history.rows if int(row["epoch"]) == exported)
    metrics = {name: float(row[name]) for name in (*gan.trackers, "swd") if row[name] != ""}
    code = trained_with(config.out, exported)
    return {
        "schema_version": 1,
        "recipe": config.recipe() | {"policy": policy},
        "data": {"name": config.data, "images": len(images), "sha256": digest(images)},
        "epochs": config.epochs,
        "exported_epoch": exported,
        "steps": int(gan.step.numpy()),
        "metrics": metrics,
        "latent_dim": LATENT_DIM,
        "latent_distribution": "normal",
        "image_shape": [config.size, config.size, 3],
        "image_range": [-1.0, 1.0],
        "git_commit": code[-1]["git_commit"],
        "versions": code[-1]["versions"],
        "trained_with": code,
    }

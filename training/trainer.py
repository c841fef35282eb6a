"""The run: epochs over the photographs, a checkpoint and a sample grid after each, a SavedModel."""

import csv
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.checkpoints import Checkpoints, claim
from training.config import TrainConfig
from training.data import Images, digest
from training.ema import estimate_batch_statistics
from training.gan import DCGAN
from training.lineage import git_commit, versions, write_json
from training.models import IMAGE_SHAPE, LATENT_DIM, build_generator
from training.samples import save_samples

SAMPLE_PASSES = 4
"""Of BatchNormalization statistics for the grid after an epoch, where a rough estimate does."""
SAMPLES = 100
SAMPLES_SEED = 1


class Diverged(Exception):
    """A loss or a weight is NaN or infinite; the last good checkpoint is kept."""


class Batches(keras.utils.PyDataset):
    """Real images in batches, in an order that depends on the seed and the epoch alone."""

    def __init__(self, images: Images, config: TrainConfig, epoch: int) -> None:
        super().__init__()
        self.images = images
        self.batch_size = min(config.batch_size, len(images))
        self.seed = config.seed
        self.epoch = epoch
        self._shuffle()

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        """Return batch ``index``: float32 [batch, 32, 32, 3] in [-1, 1]."""
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return (self.images[rows].astype(np.float32) / 127.5 - 1.0,)

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))


class History:
    """The losses of every epoch, in a CSV file that never runs ahead of the checkpoints."""

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        rows = csv.DictReader(path.read_text().splitlines()) if path.exists() else []
        self.rows: list[dict[str, Any]] = [row for row in rows if int(row["epoch"]) <= done]

    def append(self, row: dict[str, Any]) -> None:
        """Add one epoch's ``row`` and write the file."""
        self.rows.append(row)
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)


class AfterEachEpoch(keras.callbacks.Callback):
    """Stops a diverged run; saves, draws, and tells the time left after every epoch."""

    def __init__(self, config: TrainConfig, checkpoints: Checkpoints, done: int) -> None:
        super().__init__()
        self.config = config
        self.checkpoints = checkpoints
        self.first = done
        self.history = History(config.out / "history.csv", done)
        self.latents = sample_latents()
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            if not math.isfinite(value):
                raise Diverged(self._story(f"{name} became {value} in batch {batch + 1}"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        try:
            self.checkpoints.save(epoch + 1)
        except FloatingPointError as error:
            raise Diverged(self._story(str(error))) from error
        self.history.append({"epoch": epoch + 1, **(logs or {})})
        ema_generator = self.model.ema_generator
        estimate_batch_statistics(ema_generator, SAMPLE_PASSES)
        path = self.config.out / "samples" / f"epoch-{epoch + 1:04d}.png"
        save_samples(ema_generator, self.latents, path)
        self._report(epoch + 1, logs or {})

    def _report(self, done: int, logs: dict[str, float]) -> None:
        seconds = (time.monotonic() - self.started) / (done - self.first)
        left = seconds * (self.config.epochs - done) / 60
        losses = "  ".join(f"{name} {value:.3f}" for name, value in logs.items())
        print(
            f"epoch {done}/{self.config.epochs}  {losses}  {seconds:.0f} s an epoch, "
            f"{left:.0f} min left",
            flush=True,
        )

    def _story(self, what: str) -> str:
        done = int(self.checkpoints.epoch.numpy())
        return (
            f"training diverged: {what}. The checkpoint of epoch {done} is kept in "
            f"{self.config.out / 'checkpoints'}. A lower --learning-rate usually helps."
        )


def sample_latents() -> np.ndarray:
    """Return the fixed latents of the sample grids, float32 [100, 100]."""
    rng = np.random.default_rng(SAMPLES_SEED)
    return rng.standard_normal((SAMPLES, LATENT_DIM), np.float32)


def choose_policy(precision: str) -> str:
    """Return the Keras dtype policy: bfloat16 where the processor or GPU multiplies in it."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        major, _ = tf.config.experimental.get_device_details(gpus[0]).get(
            "compute_capability", (0, 0)
        )
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major == 7 else "float32"
    flags = Path("/proc/cpuinfo")
    known = flags.read_text() if flags.exists() else ""
    return "mixed_bfloat16" if "amx_bf16" in known or "avx512_bf16" in known else "float32"


def train(config: TrainConfig, images: Images, progress: bool = False) -> Path:
    """Train until ``config.epochs`` are done and return the SavedModel's directory.

    Goes on from the newest checkpoint in ``config.out``. ``images`` is uint8 [N, 32, 32, 3];
    ``progress`` draws a bar a batch.

    Raises:
        Diverged: a loss or a weight is no longer finite.
        RunMismatch: ``config.out`` holds a run with other settings.
    """
    policy = choose_policy(config.precision)
    claim(config.out, config.recipe() | {"policy": policy, "data_sha256": digest(images)})
    keras.utils.set_random_seed(config.seed)
    gan = DCGAN(config, policy)
    checkpoints = Checkpoints(config.out / "checkpoints", gan)
    done = checkpoints.restore()
    if done:
        print(f"{config.out}: {done} epochs are done, going on from there", flush=True)
    if done < config.epochs:
        gan.fit(
            Batches(images, config, done),
            epochs=config.epochs,
            initial_epoch=done,
            shuffle=False,
            verbose=1 if progress else 0,
            callbacks=[AfterEachEpoch(config, checkpoints, done)],
        )
    saved_model = export_generator(gan.ema_generator, config.out / "saved_model", config)
    write_json(config.out / "run.json", run_facts(config, policy, images, gan))
    return saved_model


def export_generator(ema_generator: keras.Model, path: Path, config: TrainConfig) -> Path:
    """Write the averaged generator, in float32, as a SavedModel with measured batch statistics.

    The signature ``serving_default`` takes ``latents`` float32 [N, 100] and returns ``images``
    float32 [N, 32, 32, 3] in [-1, 1].
    """
    generator = build_generator()
    generator.set_weights(ema_generator.get_weights())
    estimate_batch_statistics(generator, config.statistics_passes)
    archive = keras.export.ExportArchive()
    archive.track(generator)
    archive.add_endpoint(
        "serving_default",
        lambda latents: {"images": generator(latents, training=False)},
        input_signature=[tf.TensorSpec((None, LATENT_DIM), tf.float32, name="latents")],
    )
    archive.write_out(str(path), verbose=False)
    save_samples(generator, sample_latents(), path.parent / "samples" / "final.png")
    return path


def run_facts(config: TrainConfig, policy: str, images: Images, gan: DCGAN) -> dict[str, Any]:
    """Return what ``run.json`` says: enough to train this model again and to judge it."""
    last = History(config.out / "history.csv", config.epochs).rows[-1]
    return {
        "schema_version": 1,
        "recipe": config.recipe() | {"policy": policy},
        "data": {"name": config.data, "images": len(images), "sha256": digest(images)},
        "epochs": config.epochs,
        "steps": int(gan.step.numpy()),
        "metrics": {name: float(last[name]) for name in gan.trackers},
        "latent_dim": LATENT_DIM,
        "latent_distribution": "normal",
        "image_shape": list(IMAGE_SHAPE),
        "image_range": [-1.0, 1.0],
        "git_commit": git_commit(),
        "versions": versions(),
    }

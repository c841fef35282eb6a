"""The work after every epoch: the run is checked, saved, drawn, measured and reported."""

import csv
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.best import Best
from training.checkpoints import Checkpoints
from training.config import TrainConfig
from training.data import Images
from training.ema import estimate_batch_statistics
from training.evaluation.swd import sliced_wasserstein
from training.hardware import peak_memory
from training.interrupt import Interrupt
from training.models import LATENT_DIM
from training.samples import draw, grid

SAMPLE_PASSES = 4
"""The passes that estimate BatchNormalization's statistics after an epoch, roughly."""
SAMPLES = 100
SAMPLES_SEED = 1
SWD_SEED = 2
WON = 0.02
"""The largest mean probability of being real that a discriminator which has won gives to fakes."""
WON_EPOCHS = 5
"""The number of epochs in a row with such probabilities after which the discriminator has won."""


class Diverged(Exception):
    """A loss or a weight is NaN or infinite; the last good checkpoint stays."""


def sample_latents() -> np.ndarray:
    """Return the fixed latents of the sample grids, float32 [100, 100]."""
    rng = np.random.default_rng(SAMPLES_SEED)
    return rng.standard_normal((SAMPLES, LATENT_DIM), np.float32)


class History:
    """The numbers of every epoch, in a CSV file; those after the ``done`` ones are dropped."""

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        rows = csv.DictReader(path.read_text().splitlines()) if path.exists() else []
        self.rows: list[dict[str, Any]] = [row for row in rows if int(row["epoch"]) <= done]

    def append(self, row: dict[str, Any]) -> None:
        """Add one epoch's ``row`` and write the file, all of it or nothing."""
        self.rows.append(row)
        draft = self.path.with_suffix(".tmp")
        with draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerows(self.rows)
        draft.replace(self.path)

    def last(self, name: str, epochs: int) -> list[float]:
        """Return the newest values of one column, at most ``epochs`` of them."""
        return [float(row[name]) for row in self.rows[-epochs:]]


class Judge:
    """Measures the averaged generator against the photographs, and keeps the best one."""

    def __init__(self, config: TrainConfig, images: Images) -> None:
        rng = np.random.default_rng(SWD_SEED)
        count = min(config.swd_images, len(images))
        self.real = images[np.sort(rng.choice(len(images), count, replace=False))]
        self.latents = rng.standard_normal((count, LATENT_DIM), np.float32)
        self.every = config.swd_every
        self.best = Best(config.out / "best")

    def is_due(self, epoch: int, last: int) -> bool:
        """Return whether ``epoch`` is to be measured, as the ``last`` one always is."""
        return bool(self.every) and (epoch % self.every == 0 or epoch == last)

    def measure(self, generator: keras.Model, epoch: int) -> float:
        """Return the sliced Wasserstein distance of ``generator``, times 1,000."""
        distance = sliced_wasserstein(self.real, draw(generator, self.latents)).mean
        self.best.offer(distance, epoch, generator.get_weights())
        return distance


class TensorBoard:
    """The epochs' numbers and sample grids, for ``tensorboard --logdir``."""

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, epoch: int, numbers: dict[str, float], sheet: np.ndarray) -> None:
        """Add one epoch; ``sheet`` is uint8 [H, W, 3]."""
        with self._writer.as_default(step=epoch):
            for name, number in numbers.items():
                tf.summary.scalar(name, number)
            tf.summary.image("samples", sheet[None])
        self._writer.flush()


class AfterEachEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures, draws, saves and reports an epoch; ends a run that diverged or is to stop."""

    def __init__(
        self,
        config: TrainConfig,
        images: Images,
        checkpoints: Checkpoints,
        interrupt: Interrupt,
    ) -> None:
        super().__init__()
        self.config = config
        self.checkpoints = checkpoints
        self.interrupt = interrupt
        self.first = checkpoints.epochs_done
        self.history = History(config.out / "history.csv", self.first)
        self.judge = Judge(config, images)
        self.board = TensorBoard(config.out / "tensorboard")
        self.latents = sample_latents()
        self.images_an_epoch = len(images) // config.batch_size * config.batch_size
        self.started = time.monotonic()

    def on_epoch_begin(self, epoch: int, *_: object) -> None:
        self.model.set_rates(self.config.rate_factor(epoch + 1))
        self.epoch_began = time.monotonic()
        self.model.waited_s = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            if not math.isfinite(value):
                raise Diverged(self._story(f"{name} became {value} in batch {batch + 1}"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        done = epoch + 1
        seconds = time.monotonic() - self.epoch_began
        try:
            self.checkpoints.check()
        except FloatingPointError as error:
            raise Diverged(self._story(str(error))) from error
        numbers = dict(logs or {})
        numbers["images_per_s"] = self.images_an_epoch / seconds
        numbers["waiting"] = self.model.waited_s / seconds
        ema_generator = self.model.ema_generator
        estimate_batch_statistics(ema_generator, SAMPLE_PASSES)
        if self.judge.is_due(done, self.config.epochs):
            numbers["swd"] = self.judge.measure(ema_generator, done)
        sheet = grid(draw(ema_generator, self.latents), columns=10)
        sheet.save(samples_path(self.config.out, done))
        self.history.append({"epoch": done, "swd": "", **numbers})
        self.checkpoints.save(done)  # a kill before this line repeats the epoch, with its row
        self.board.write(done, numbers, np.asarray(sheet))
        self._report(done, numbers)
        self._warn(done)
        self.model.stop_training = self.interrupt.requested

    def _report(self, done: int, numbers: dict[str, float]) -> None:
        seconds = (time.monotonic() - self.started) / (done - self.first)
        left = seconds * (self.config.epochs - done) / 60
        told = [f"{name} {numbers[name]:.3f}" for name in self.model.trackers]
        if "swd" in numbers:
            best = self.judge.best
            told.append(f"swd {numbers['swd']:.2f} (best {best.distance:.2f}, epoch {best.epoch})")
        told.append(f"{numbers['images_per_s']:.0f} images/s, {numbers['waiting']:.1%} waiting")
        told.append(f"{peak_memory() / 2**30:.1f} GiB at most")
        told.append(f"{left:.0f} min left")
        print(f"epoch {done}/{self.config.epochs}  " + "  ".join(told), flush=True)

    def _warn(self, done: int) -> None:
        verdicts = self.history.last("d_fake", WON_EPOCHS)
        if done % WON_EPOCHS == 0 and len(verdicts) == WON_EPOCHS and max(verdicts) <= WON:
            print(
                f"the discriminator has won for {WON_EPOCHS} epochs: it believes no fake with more "
                f"than {WON:.0%}, and the generator learns little from that. --augment, or a lower "
                "--discriminator-learning-rate, usually helps; both need a new --out",
                flush=True,
            )

    def _story(self, what: str) -> str:
        return (
            f"training diverged: {what}. The checkpoint of epoch {self.checkpoints.epochs_done} is "
            f"kept in {self.config.out / 'checkpoints'}. A lower --learning-rate usually helps."
        )


def samples_path(out: Path, epoch: int) -> Path:
    """Return the path of the sample grid of ``epoch`` in the run ``out``."""
    return out / "samples" / f"epoch-{epoch:04d}.png"

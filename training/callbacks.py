"""The work after every epoch: the run is checked, saved, drawn, measured and reported."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training.checkpoints import Checkpoints
from training.choice import Judge
from training.config import TrainConfig
from training.data import Images
from training.ema import estimate_batch_statistics
from training.exchange import Exchange
from training.hardware import peak_memory
from training.history import History
from training.interrupt import Interrupt
from training.kept import Averages
from training.models import LATENT_DIM
from training.samples import draw, grid

SAMPLE_PASSES = 4
"""The passes that estimate BatchNormalization's statistics after an epoch, roughly."""
SAMPLES = 100
SAMPLES_SEED = 1
TOLD_EVERY_S = 30.0
"""The seconds between two lines within an epoch, where no bar shows how far it is."""
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


class EachEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets an epoch's rates, and ends a run that diverged or that any worker was told to stop."""

    def __init__(
        self,
        config: TrainConfig,
        checkpoints: Checkpoints,
        interrupt: Interrupt,
        exchange: Exchange,
    ) -> None:
        super().__init__()
        self.config = config
        self.checkpoints = checkpoints
        self.interrupt = interrupt
        self.exchange = exchange

    def on_epoch_begin(self, epoch: int, *_: object) -> None:
        self.model.set_rates(self.config.rate_factor(epoch + 1))
        self.model.waited_s = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            if not math.isfinite(value):
                raise Diverged(self._story(f"{name} became {value} in batch {batch + 1}"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        try:
            self.checkpoints.check()
        except FloatingPointError as error:
            raise Diverged(self._story(str(error))) from error
        self.work(epoch + 1, dict(logs or {}))
        self.model.stop_training = self.exchange.any(self.interrupt.requested)

    def work(self, done: int, _: dict[str, float]) -> None:
        """Note that ``done`` epochs are done; the chief does more."""
        self.checkpoints.note(done)

    def _story(self, what: str) -> str:
        return (
            f"training diverged: {what}. The checkpoint of epoch {self.checkpoints.epochs_done} is "
            f"kept in {self.config.out / 'checkpoints'}. A lower --learning-rate usually helps."
        )


class AfterEachEpoch(EachEpoch):
    """Measures, draws, saves and reports an epoch: what the chief does, or who trains alone.

    ``within`` has lines told within an epoch, a number of seconds apart.
    """

    def __init__(
        self,
        config: TrainConfig,
        images: Images,
        checkpoints: Checkpoints,
        interrupt: Interrupt,
        exchange: Exchange,
        within: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config, checkpoints, interrupt, exchange)
        self.first = checkpoints.epochs_done
        self.history = History(config.out / "history.csv", self.first)
        self.judge = Judge(config, images)
        self.averages = Averages(config)
        self.board = TensorBoard(config.out / "tensorboard")
        self.latents = sample_latents()
        self.steps = len(images) // config.batch_size
        self.within = within
        self.now = now
        self.started = self.told = now()

    def on_epoch_begin(self, epoch: int, *_: object) -> None:
        super().on_epoch_begin(epoch)
        self.epoch = epoch + 1
        self.epoch_began = self.told = self.now()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self.within and self.now() - self.told >= TOLD_EVERY_S:
            self.told = self.now()
            rate = (batch + 1) * self.config.batch_size / (self.told - self.epoch_began)
            told = [f"{name} {value:.3f}" for name, value in (logs or {}).items()]
            place = f"epoch {self.epoch}/{self.config.epochs}, batch {batch + 1}/{self.steps}"
            print("  ".join([place, *told, f"{rate:.0f} images/s"]), flush=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.seconds = self.now() - self.epoch_began
        super().on_epoch_end(epoch, logs)

    def work(self, done: int, numbers: dict[str, float]) -> None:
        """Measure, draw, save and report the epoch ``done``."""
        seconds = self.seconds
        numbers["images_per_s"] = self.steps * self.config.batch_size / seconds
        numbers["waiting"] = self.model.waited_s / seconds
        ema_generator = self.model.ema_generator
        estimate_batch_statistics(ema_generator, SAMPLE_PASSES)
        if self.judge.is_due(done, self.config.epochs):
            numbers |= self.judge.measure(ema_generator, done)
        self.averages.offer(done, ema_generator.get_weights())
        sheet = grid(draw(ema_generator, self.latents), columns=10)
        sheet.save(samples_path(self.config.out, done))
        self.history.append({"epoch": done, "swd": "", "features": "", **numbers})
        self.checkpoints.save(done)  # a kill before this line repeats the epoch, with its row
        self.board.write(done, numbers, np.asarray(sheet))
        self._report(done, numbers)
        self._warn(done)

    def _report(self, done: int, numbers: dict[str, float]) -> None:
        seconds = (self.now() - self.started) / (done - self.first)
        left = seconds * (self.config.epochs - done) / 60
        told = [f"{name} {numbers[name]:.3f}" for name in self.model.trackers]
        for measure, best in self.judge.best.items():
            if measure in numbers:
                where = f"(best {best.distance:.2f}, epoch {best.epoch})"
                told.append(f"{measure} {numbers[measure]:.2f} {where}")
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


def samples_path(out: Path, epoch: int) -> Path:
    """Return the path of the sample grid of ``epoch`` in the run ``out``."""
    return out / "samples" / f"epoch-{epoch:04d}.png"

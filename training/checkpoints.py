"""The checkpoints from which a killed run goes on: networks, optimizers, step and epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.gan import DCGAN

KEPT = 3
"""The number of checkpoints that are kept: the newest, and older ones in case a disk lost it."""


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Raise errors in the block as an OSError that says ``what`` was to be written."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(f"{what} cannot be written: {error.message}") from error
    except OSError as error:
        raise OSError(f"{what} cannot be written: {error.strerror or error}") from error


class Checkpoints:
    """Saves a DCGAN after every epoch and restores the newest.

    TensorFlow writes a checkpoint beside the older ones, and names it the newest at the end. So a
    kill during the writing loses that epoch and nothing else.
    """

    def __init__(self, folder: Path, gan: DCGAN) -> None:
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")
        self.gan = gan
        state = tf.train.Checkpoint(
            generator=gan.generator,
            discriminator=gan.discriminator,
            ema_generator=gan.ema_generator,
            g_optimizer=gan.g_optimizer,
            d_optimizer=gan.d_optimizer,
            dropout=gan.dropout_state,
            step=gan.step,
            epoch=self.epoch,
        )
        self._state = state
        self._files = tf.train.CheckpointManager(state, str(folder), max_to_keep=KEPT)

    def restore(self) -> int:
        """Load the newest checkpoint, if there is one; return how many epochs are done."""
        newest = self._files.latest_checkpoint
        if newest:
            self._state.restore(newest).assert_existing_objects_matched()
        return self.epochs_done

    def variables(self) -> list[tf.Variable]:
        """Return all that a checkpoint holds, in an order that every process has."""
        gan = self.gan
        parts = (gan.generator, gan.discriminator, gan.ema_generator)
        optimizers = (gan.g_optimizer, gan.d_optimizer)
        held = [x.value for part in (*parts, *optimizers) for x in part.variables]
        return [*held, gan.step, self.epoch]

    @property
    def epochs_done(self) -> int:
        """The number of epochs that were done at the newest checkpoint."""
        return int(self.epoch.numpy())

    def note(self, epochs_done: int) -> None:
        """Note how many epochs are done."""
        self.epoch.assign(epochs_done)

    def save(self, epochs_done: int) -> None:
        """Write a checkpoint, and remove the oldest of more than three.

        Raises:
            OSError: the disk is full, or something else keeps it from being written.
        """
        self.note(epochs_done)
        with writing(f"the checkpoint of epoch {epochs_done}"):
            self._files.save(checkpoint_number=epochs_done)

    def check(self) -> None:
        """Check that every weight is finite.

        Raises:
            FloatingPointError: a weight is NaN or infinite, and must not be saved.
        """
        for network in (self.gan.generator, self.gan.discriminator, self.gan.ema_generator):
            for weight in network.weights:
                if not np.isfinite(weight.numpy()).all():
                    raise FloatingPointError(f"the weights {weight.path} are no longer finite")

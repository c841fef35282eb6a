"""Real images in batches, in an order that a resumed run repeats."""

from collections.abc import Iterator
from copy import copy

import keras
import numpy as np
import tensorflow as tf

from training.cluster import ClusterError
from training.data import Images


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches in an order set by the seed and the epoch alone, without a last, smaller batch."""

    def __init__(self, images: Images, batch_size: int, seed: int, epoch: int) -> None:
        super().__init__()
        self.images = images
        self.batch_size = min(batch_size, len(images))
        self.seed = seed
        self.epoch = epoch
        self._shuffle()

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        """Return batch ``index``: float32 [batch, size, size, 3] in [-1, 1]."""
        return self.part(index, 0, 1)

    def part(self, index: int, replica: int, replicas: int) -> tuple[np.ndarray]:
        """Return what a replica trains on of batch ``index``, whose size is a multiple of them."""
        size = self.batch_size // replicas
        first = index * self.batch_size + replica * size
        rows = self.order[first : first + size]
        return (self.images[rows].astype(np.float32) / 127.5 - 1.0,)

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))


def distributed(
    batches: Batches, strategy: tf.distribute.Strategy
) -> tf.distribute.DistributedDataset:
    """Return the parts of the batches that this worker's replicas train on, epoch after epoch.

    Together the workers of ``strategy`` have each batch, in the order in which one process that
    mirrors over as many devices divides it. An element is the images alone, without a tuple: Keras
    averages the first one over all workers, which TensorFlow cannot do with tuples.

    Raises:
        ClusterError: the batches cannot be divided evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if batches.batch_size % replicas:
        raise ClusterError(
            f"--batch-size: {batches.batch_size} images a step cannot be divided by {replicas} "
            "replicas; give a multiple"
        )

    def parts(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * own
        (example,) = batches.part(0, first, replicas)
        endless = tf.data.Dataset.from_generator(
            lambda: _endless(copy(batches), range(first, first + own), replicas),
            output_signature=tf.TensorSpec(example.shape, tf.float32),
        )
        # A dataset that may end has the workers ask each other before every step whether it has.
        known = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return endless.apply(known).prefetch(tf.data.AUTOTUNE)

    return strategy.distribute_datasets_from_function(parts)


def _endless(batches: Batches, own: range, replicas: int) -> Iterator[np.ndarray]:
    while True:
        batches.on_epoch_end()  # as Keras does before the first epoch too
        for index in range(len(batches)):
            for replica in own:
                (images,) = batches.part(index, replica, replicas)
                yield images

"""Real images in batches, in an order that a resumed run repeats."""

import keras
import numpy as np

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
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return (self.images[rows].astype(np.float32) / 127.5 - 1.0,)

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))

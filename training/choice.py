"""The choice of the exported epoch: every measured epoch's distances, and which is the best."""

import keras
import numpy as np

from training.config import MEASURES, TrainConfig
from training.data import Images
from training.evaluation import classifier
from training.evaluation.feature_distances import frechet_distance
from training.evaluation.swd import sliced_wasserstein
from training.kept import Averages, Best, Weights
from training.models import LATENT_DIM
from training.run_directory import RunDirectoryError
from training.samples import draw

SEED = 2


class NotKept(RunDirectoryError):
    """The weights that ``--choose-by`` names were not kept."""


class Judge:
    """Measures the averaged generator against the photographs, and keeps the best ones."""

    def __init__(self, config: TrainConfig, images: Images) -> None:
        rng = np.random.default_rng(SEED)
        count = min(config.swd_images, len(images))
        self.real = images[np.sort(rng.choice(len(images), count, replace=False))]
        self.latents = rng.standard_normal((count, LATENT_DIM), np.float32)
        self.every = config.swd_every
        self.best = {measure: Best(config.out, measure) for measure in MEASURES}
        self.network = classifier.load()
        self.real_features, _ = classifier.judge(self.network, self.real)

    def is_due(self, epoch: int, last: int) -> bool:
        """Return whether ``epoch`` is to be measured, as the ``last`` one always is."""
        return bool(self.every) and (epoch % self.every == 0 or epoch == last)

    def measure(self, generator: keras.Model, epoch: int) -> dict[str, float]:
        """Return the distances of ``generator``: ``swd``, times 1,000, and ``features``."""
        drawn = draw(generator, self.latents)
        features, _ = classifier.judge(self.network, drawn)
        distances = {
            "swd": sliced_wasserstein(self.real, drawn).mean,
            "features": frechet_distance(self.real_features, features),
        }
        for measure, distance in distances.items():
            self.best[measure].offer(distance, epoch, generator.get_weights())
        return distances


def reached(config: TrainConfig, done: int) -> int:
    """Return the last epoch of which a run that has a checkpoint of ``done`` epochs has a trace.

    A kill between an epoch's measurement and its checkpoint leaves the best one ahead.
    """
    return max(done, *(Best(config.out, measure).epoch or 0 for measure in MEASURES))


def chosen(config: TrainConfig, last: Weights) -> tuple[int, Weights]:
    """Return the epoch that ``--choose-by`` names, and the averaged generator's weights then.

    A run that never measured exports its ``last`` weights.

    Raises:
        NotKept: the run has no such weights.
    """
    if config.choose_by in MEASURES:
        best = Best(config.out, config.choose_by)
        if best.epoch is not None:
            return best.epoch, best.weights()
        if not config.swd_every:
            return config.epochs, last
        told = f"no epoch of {config.out} was measured by {config.choose_by}; another --choose-by"
        raise NotKept(f"{told} is: {', '.join(MEASURES)}")
    averages, epoch = Averages(config), int(config.choose_by)
    if epoch not in averages.epochs():
        kept = ", ".join(map(str, averages.epochs())) or "none: --keep-every says which are"
        raise NotKept(f"{config.out} did not keep epoch {epoch} for --choose-by; it kept {kept}")
    return epoch, averages.weights(epoch)

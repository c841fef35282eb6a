"""The settings of one training run, read once from the command line and kept in ``run.json``."""

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from training.data import SIZES, SOURCES, SPLITS, VIEWS

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes, plus where it reads and writes.

    Raises:
        ValueError: a setting is out of its range; the message names it and what was wanted.
    """

    out: Path
    """The run directory: checkpoints, samples, history, and at the end the SavedModel."""
    data: str = "cifar10-cars"
    """Name of the data set, one of ``training.data.SOURCES``."""
    data_path: Path | None = None
    """Where the data set lies already; None fetches it once into the cache."""
    limit_images: int | None = None
    """Train on the first so many images only: for trying things out."""
    size: int = 32
    """Pixels on each side of an image."""
    crop_margin: float = 0.05
    """Added on each side of a car's box, as a fraction of its longer side.

    At 32 pixels it is one or two of them: the outline ends inside the image, not at its edge.
    """
    split: str = "both"
    """Which part of the data set: train, test, or both."""
    views: str = "front"
    """Which sides of the cars ``compcars-web`` shows: front, or front-side as well."""
    epochs: int = 60
    batch_size: int = 64
    seed: int = 0
    learning_rate: float = 2e-4
    """Adam's step size, for both networks. Source: Radford et al. 2016 (DCGAN)."""
    beta_1: float = 0.5
    """Adam's first-moment decay. Source: Radford et al. 2016 (DCGAN)."""
    label_smoothing: float = 0.1
    """Real images are labelled 1 minus this, fakes stay 0. Source: Salimans et al. 2016."""
    flip: bool = True
    """Mirror half of the real images left to right."""
    ema_decay: float = 0.999
    """Decay per step of the averaged generator, the one that is exported."""
    statistics_passes: int = 60
    """Forward passes of 256 latents behind the exported BatchNormalization statistics."""
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "statistics_passes"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        limit = self.limit_images
        _require(limit is None or limit >= 1, "limit_images", limit, "1 or more")
        _require(0 <= self.seed < 2**31, "seed", self.seed, "0 to 2147483647")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "more than 0")
        _require(0 <= self.beta_1 < 1, "beta_1", self.beta_1, "0 or more, less than 1")
        smoothing = self.label_smoothing
        _require(0 <= smoothing < 0.5, "label_smoothing", smoothing, "0 or more, less than 0.5")
        _require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "0 or more, less than 1")
        self._check_data()

    def _check_data(self) -> None:
        for name, known in (("size", SIZES), ("split", SPLITS), ("views", VIEWS)):
            value = getattr(self, name)
            _require(value in known, name, value, f"one of {', '.join(map(str, known))}")
        margin = self.crop_margin
        _require(0 <= margin <= 1, "crop_margin", margin, "0 to 1, a fraction of the box")
        _require(self.data in SOURCES, "data", self.data, f"one of {', '.join(SOURCES)}")
        for name in self._idle():
            wanted = f"{DEFAULTS[name]}, the default: it means nothing to {self.data}"
            _require(getattr(self, name) == DEFAULTS[name], name, getattr(self, name), wanted)

    def recipe(self) -> dict[str, Any]:
        """Return what decides the weights, as JSON: all but the paths and the number of epochs.

        A setting that means nothing to the data set decides nothing, and is left out.
        """
        settings = asdict(self)
        for name in ("out", "data_path", "epochs", *self._idle()):
            del settings[name]
        return settings

    def _idle(self) -> list[str]:
        """Return the settings of other data sets, which this run's has no use for."""
        settings = {name for source in SOURCES.values() for name in source.settings}
        return sorted(settings.difference(SOURCES[self.data].settings))


DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in fields(TrainConfig) if field.default is not MISSING
}
"""What a setting is where nobody gives it, or where an older run does not know it yet."""


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value}; wanted {wanted}")

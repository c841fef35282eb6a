"""The settings of one training run, read once from the command line and kept in ``run.json``."""

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from training.data import SIZES, SOURCES, SPLITS, VIEWS

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]


AUGMENTATIONS = ("color", "translation", "cutout")
LOSSES = ("cross-entropy", "hinge")
STRATEGIES = ("single", "mirrored", "multi-worker")
MEASURES = ("swd", "features")
"""The distances to the photographs by which a run may choose the epoch that it exports."""


@dataclass(frozen=True)
class TrainConfig:
    """The settings that determine what a run computes, and the paths that it reads and writes.

    Raises:
        ValueError: a setting is out of its range; the message names it and what was wanted.
    """

    out: Path
    """The run directory with checkpoints, samples, history, and at the end the SavedModel."""
    data: str = "cifar10-cars"
    """The name of the data set, one of ``training.data.SOURCES``."""
    data_path: Path | None = None
    """The directory that holds the data set; None fetches it once into the cache."""
    limit_images: int | None = None
    """The number of images to train on, for trying things out; None trains on all."""
    size: int = 32
    """The pixels on each side of an image."""
    crop_margin: float = 0.05
    """The margin on each side of a car's box, as a fraction of the box's longer side.

    At 32 pixels the margin is one or two pixels: the car's outline ends inside the image, not at
    its edge.
    """
    split: str = "both"
    """The part of the data set: train, test, or both."""
    views: str = "front"
    """The views of cars that are taken from ``compcars-web``: front, or front-side as well."""
    epochs: int = 60
    batch_size: int = 64
    seed: int = 0
    learning_rate: float = 2e-4
    """Adam's step size. Source: Radford et al. 2016 (DCGAN)."""
    discriminator_learning_rate: float | None = None
    """The discriminator's step size; None takes ``learning_rate``.

    Source: Heusel et al. 2017, the two time-scale update rule.
    """
    decay_from: int = 0
    """The epoch after which both learning rates fall, evenly from epoch to epoch."""
    decay_to: int = 0
    """The epoch at whose end both rates would be 0.

    Given ``decay_from`` alone, this becomes the last epoch; with both settings 0 the rates never
    fall.
    """
    beta_1: float = 0.5
    """Adam's first-moment decay. Source: Radford et al. 2016 (DCGAN)."""
    loss: str = "cross-entropy"
    """The loss of both networks, one of ``LOSSES``, see ``losses``."""
    label_smoothing: float = 0.1
    """The distance of a real image's label from 1; a fake's is 0. Source: Salimans et al. 2016."""
    flip: bool = True
    """Whether half of the real images are mirrored left to right."""
    augment: tuple[str, ...] = ()
    """The ``AUGMENTATIONS`` of all images that the discriminator sees, see ``augment``."""
    r1_weight: float = 0.0
    """The weight of the gradient penalty on real images. Source: Mescheder et al. 2018."""
    r1_every: int = 1
    """The steps from one penalty to the next, which then counts as often as it was left out.

    Source: Karras et al. 2020 (StyleGAN2), "lazy regularization".
    """
    ema_decay: float = 0.999
    """The decay a step of the averaged generator, which is exported; 0 does not average."""
    statistics_passes: int = 60
    """The passes of 256 latents that measure the exported BatchNormalization statistics."""
    precision: Precision = "auto"
    strategy: str = "single"
    """The strategy: ``mirrored`` trains on all GPUs, each on its part of every batch, and
    ``multi-worker`` on those of all machines that the variable ``TF_CONFIG`` names."""
    swd_every: int = 1
    """The epochs between two measurements of the distances; 0 never measures."""
    swd_images: int = 2000
    """The number of drawn images, and of photographs, in each measurement."""
    choose_by: str = "swd"
    """The exported epoch: the best by one of ``MEASURES``, or the number of one that was kept."""
    keep_every: int = 0
    """The epochs between two averaged generators that are kept; 0 keeps none but the best."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "statistics_passes", "r1_every"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        limit = self.limit_images
        _require(limit is None or limit >= 1, "limit_images", limit, "1 or more")
        _require(0 <= self.seed < 2**31, "seed", self.seed, "0 to 2147483647")
        for name in ("learning_rate", "discriminator_learning_rate"):
            rate = getattr(self, name)
            _require(rate is None or rate > 0, name, rate, "more than 0")
        if self.decay_from and not self.decay_to:
            object.__setattr__(self, "decay_to", self.epochs)  # the class is frozen for all others
        span = f"{self.decay_from} to {self.decay_to}"
        ordered = 0 <= self.decay_from < self.decay_to or (self.decay_from, self.decay_to) == (0, 0)
        _require(ordered, "decay_from, decay_to", span, "epochs in order, or 0 and 0")
        known = ", ".join(AUGMENTATIONS)
        _require(set(self.augment) <= set(AUGMENTATIONS), "augment", self.augment, f"of {known}")
        _require(self.r1_weight >= 0, "r1_weight", self.r1_weight, "0 or more")
        for name in ("swd_every", "keep_every"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        _require(self.swd_images >= 2, "swd_images", self.swd_images, "2 or more")
        for name, names in (("strategy", STRATEGIES), ("loss", LOSSES)):
            value = getattr(self, name)
            _require(value in names, name, value, f"one of {', '.join(names)}")
        by = self.choose_by
        wanted = f"{', '.join(MEASURES)}, or an epoch that was kept"
        _require(by in MEASURES or by.isdecimal(), "choose_by", by, wanted)
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
        for name, why in self._idle().items():
            wanted = f"{DEFAULTS[name]}, the default: it means nothing to {why}"
            _require(getattr(self, name) == DEFAULTS[name], name, getattr(self, name), wanted)

    def recipe(self) -> dict[str, Any]:
        """Return the settings that determine the weights of every epoch.

        Paths, the number of epochs, and which of them is exported are left out, and so is a setting
        that means nothing beside the others.
        """
        settings = asdict(self)
        for name in ("out", "data_path", "epochs", "choose_by", "keep_every", *self._idle()):
            del settings[name]
        return settings

    def rate_factor(self, epoch: int) -> float:
        """Return the factor of the learning rates in epoch ``epoch``, where the first epoch is 1.

        The factor of ``decay_to`` holds for all later epochs, in which a run still learns a little.
        """
        if not self.decay_to:
            return 1.0
        last = min(max(epoch, self.decay_from + 1), self.decay_to)
        return (self.decay_to + 1 - last) / (self.decay_to - self.decay_from)

    def _idle(self) -> dict[str, str]:
        """Return the settings that mean nothing in this run, and to what they mean nothing."""
        known = {name for source in SOURCES.values() for name in source.settings}
        idle = dict.fromkeys(sorted(known.difference(SOURCES[self.data].settings)), self.data)
        if self.loss == "hinge":
            idle["label_smoothing"] = "the hinge loss"
        if not self.r1_weight:
            idle["r1_every"] = "a run without --r1-weight"
        return idle


DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in fields(TrainConfig) if field.default is not MISSING
}
"""The default settings, which also stand for those that an older run does not know."""


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value}; wanted {wanted}")

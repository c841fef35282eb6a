"""A finished run opened for evaluation: its facts, its photographs, and its generator."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data import SOURCES, DataError, Images, digest, load_images
from training.evaluation.distances import Progress
from training.samples import to_uint8

BATCH = 250
"""The number of images drawn at once."""
LEAST = 4
"""The smallest number of photographs to compare with: two halves of two each."""
CHOICES = ("size", "crop_margin", "split", "views")
"""The settings of the data set in a run's recipe, beside its name; older runs have none."""


class RunError(Exception):
    """The run cannot be evaluated: it is missing or not finished, or its photographs differ."""


@dataclass(frozen=True)
class Run:
    """A finished run's directory and the facts in its ``run.json``."""

    folder: Path
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def results(self) -> Path:
        """The folder for the results of an evaluation."""
        return self.folder / "evaluation"

    def latents(self, count: int, seed: int) -> NDArray[np.float32]:
        """Return the latents of ``count`` images, float32 [count, latent_dim]."""
        rng = np.random.default_rng(seed)
        shape = (count, self.facts["latent_dim"])
        if self.facts.get("latent_distribution") == "uniform":
            return rng.uniform(-1, 1, shape).astype(np.float32)
        return rng.standard_normal(shape, np.float32)

    def photographs(self, data_path: Path | None) -> Images:
        """Return the photographs that the run was trained on, uint8 [N, size, size, 3].

        Raises:
            RunError: the photographs have another digest than the run's, or are fewer than 4.
        """
        images = self._load(data_path, self.facts["recipe"].get("limit_images"))
        if digest(images) != self.facts["data"]["sha256"]:
            raise RunError(
                f"the photographs are not those of the run: {len(images)} with digest "
                f"{digest(images)[:16]}..., its run.json says {self.facts['data']['images']} with "
                f"{self.facts['data']['sha256'][:16]}...; give its data set with --data-path"
            )
        if len(images) < LEAST:
            raise RunError(f"the run was trained on {len(images)} photographs; wanted {LEAST}")
        return images

    def held_out(self, data_path: Path | None) -> Images | None:
        """Return the test photographs; None unless the run was trained on the train split only."""
        settings = SOURCES[self.facts["data"]["name"]].settings
        if "split" not in settings or self.facts["recipe"].get("split") != "train":
            return None
        return self._load(data_path, None, split="test")

    def _load(self, data_path: Path | None, limit: int | None, **other: Any) -> Images:
        recipe = self.facts["recipe"]
        choices = {name: recipe[name] for name in CHOICES if name in recipe} | other
        try:
            return load_images(self.facts["data"]["name"], data_path, limit, **choices)
        except DataError as error:
            raise RunError(str(error)) from error

    def draw(self, count: int, seed: int, progress: Progress) -> NDArray[np.uint8]:
        """Return ``count`` images of the exported generator, uint8 [count, size, size, 3].

        Raises:
            RunError: the SavedModel is missing, or is not a generator's.
        """
        import tensorflow as tf

        latents = self.latents(count, seed)
        try:
            model = tf.saved_model.load(str(self.folder / "saved_model"))
            signature = model.signatures["serving_default"]
        except (OSError, KeyError, ValueError) as error:
            told = str(error).splitlines()[0]
            raise RunError(
                f"{self.folder / 'saved_model'} is no SavedModel of a generator ({told}); the "
                "run's training command again writes it anew"
            ) from error
        drawn = []
        for start in range(0, count, BATCH):
            some = tf.constant(latents[start : start + BATCH])
            drawn.append(to_uint8(signature(latents=some)["images"].numpy()))
            progress(min(start + BATCH, count) / count)
        return np.concatenate(drawn)


def open_run(folder: Path) -> Run:
    """Return the run in ``folder``.

    Raises:
        RunError: there is no run, or it is not finished.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such run; wanted what training's --out named")
    path = folder / "run.json"
    if not path.exists():
        raise RunError(
            f"{folder} holds no run.json: the run is not finished, or is none; its training "
            "command again goes on with it"
        )
    try:
        facts = json.loads(path.read_text())
    except ValueError as error:
        raise RunError(f"{path} is damaged ({type(error).__name__}: {error})") from error
    return Run(folder, checked_facts(facts, path))


def checked_facts(facts: Any, path: Path) -> dict[str, Any]:
    """Return the facts of a training, which are in ``path``, if an evaluation can rely on them.

    Raises:
        RunError: some are missing, or the data set is none of ours.
    """
    try:
        needed = (facts["recipe"], facts["data"]["name"], facts["data"]["sha256"])
        _ = (*needed, facts["data"]["images"], facts["latent_dim"], facts["epochs"])
    except (KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({type(error).__name__}: {error})") from error
    if facts["data"]["name"] not in SOURCES:
        raise RunError(f"{path}: no data set is called {facts['data']['name']!r}")
    checked: dict[str, Any] = facts
    return checked

"""The averaged generators of a run that are kept: the best so far, and those of some epochs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.checkpoints import writing
from training.config import TrainConfig

Weights = list[NDArray[np.float32]]


class Best:
    """Keeps the weights of the smallest distance in a file, so that a resumed run has them.

    ``distance`` and ``epoch`` are None until weights have been kept.
    """

    def __init__(self, out: Path, measure: str = "swd") -> None:
        # The file of the older measure has its older name, so that older runs can go on.
        self._file = out / "best" / ("best.npz" if measure == "swd" else f"best-{measure}.npz")
        self.distance: float | None = None
        self.epoch: int | None = None
        if self._file.exists():
            with np.load(self._file) as kept:
                facts = json.loads(str(kept["facts"]))
            self.distance, self.epoch = facts["distance"], facts["epoch"]

    def offer(self, distance: float, epoch: int, weights: Weights) -> bool:
        """Keep ``weights`` if no better ones are kept; return whether they are kept.

        A resumed run offers the epochs after its checkpoint again; the new offer replaces the old
        one of the same epoch.
        """
        better = self.distance is None or distance < self.distance or self.epoch == epoch
        if better:
            self.distance, self.epoch = distance, epoch
            _save(self._file, weights, {"distance": distance, "epoch": epoch})
        return better

    def weights(self) -> Weights:
        """Return the kept weights, in the order of ``get_weights``.

        Raises:
            FileNotFoundError: no weights were kept.
        """
        return _load(self._file)


class Averages:
    """Keeps the averaged generator of every ``keep_every``-th epoch and of the last one."""

    def __init__(self, config: TrainConfig) -> None:
        self._folder = config.out / "averages"
        self._every = config.keep_every
        self._last = config.epochs

    def offer(self, epoch: int, weights: Weights) -> None:
        """Keep ``weights`` if those of ``epoch`` are to be kept."""
        if self._every and (epoch % self._every == 0 or epoch == self._last):
            _save(self._path(epoch), weights, {"epoch": epoch})

    def epochs(self) -> list[int]:
        """Return the epochs that are kept, without those that a kill left ahead of the run."""
        kept = [int(path.stem.rpartition("-")[2]) for path in self._folder.glob("epoch-*")]
        return sorted(epoch for epoch in kept if epoch <= self._last)

    def weights(self, epoch: int) -> Weights:
        """Return the weights of ``epoch``, which is one of ``epochs()``."""
        return _load(self._path(epoch))

    def _path(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch:04d}.npz"


def _save(path: Path, weights: Weights, facts: dict[str, Any]) -> None:
    """Write the weights, all of them or nothing."""
    draft = path.with_name(f"draft-{path.name}")
    arrays: dict[str, Any] = {f"w{k:03d}": weight for k, weight in enumerate(weights)}
    with writing(f"the averaged generator of epoch {facts['epoch']}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(draft, facts=np.array(json.dumps(facts)), **arrays)
        draft.replace(path)


def _load(path: Path) -> Weights:
    with np.load(path) as kept:
        return [kept[name] for name in sorted(kept.files) if name != "facts"]

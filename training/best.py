"""The best generator of a run so far, which is exported even if it is not the last one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = list[NDArray[np.float32]]


class Best:
    """Keeps the weights of the smallest distance in a directory, so that a resumed run has them.

    ``distance`` and ``epoch`` are None until weights have been kept.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "best.npz"
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
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft = self._file.with_suffix(".tmp.npz")
            facts = json.dumps({"distance": distance, "epoch": epoch})
            arrays: dict[str, Any] = {f"w{k:03d}": weight for k, weight in enumerate(weights)}
            np.savez(draft, facts=np.array(facts), **arrays)
            draft.replace(self._file)
        return better

    def weights(self) -> Weights:
        """Return the kept weights, in the order of ``get_weights``.

        Raises:
            FileNotFoundError: no weights were kept.
        """
        with np.load(self._file) as kept:
            return [kept[name] for name in sorted(kept.files) if name != "facts"]

"""The report of one evaluation, as JSON and as a table in plain text."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.judge import Judgement
from training.evaluation.memorisation import QUANTILE

Images = NDArray[np.uint8]
HEAD = ("measure", "generated", "photographs", "what it says")


@dataclass(frozen=True)
class Report:
    """The results of one evaluation, with the run's facts and images."""

    name: str
    """The run's name."""
    facts: dict[str, Any]
    """The run's ``run.json``."""
    judgement: Judgement
    generated: Images
    photographs: Images
    history: list[dict[str, str]]
    how: dict[str, Any]
    """The evaluation's settings, commit and library versions."""
    no_inception: str | None
    """The reason why there is no FID and no KID; None if there are."""

    def as_json(self) -> dict[str, Any]:
        """Return the contents of ``evaluation.json``."""
        return {
            "schema_version": 1,
            "run": {
                "name": self.name,
                "epochs": self.facts["epochs"],
                "exported_epoch": self.facts.get("exported_epoch", self.facts["epochs"]),
                "data": self.facts["data"],
            },
            "evaluation": self.how | {"no_inception": self.no_inception},
            "results": self.judgement.as_json(),
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return the results: name, the generator's number, the photographs', and the meaning."""
        found, memory = self.judgement, self.judgement.memorisation
        rows = [_row("SWD x 1,000", found.swd, "all scales; smaller is better")]
        for size, pair in found.swd_levels.items():
            says = "shapes and colours" if size == min(found.swd_levels) else "details"
            rows.append(_row(f"SWD, {size} pixels", pair, says))
        like = found.likeness
        rows.append(_row("features", like.frechet, "Frechet distance; smaller is better"))
        for name, pair, says in (
            ("precision", like.precision, "share that looks like some photograph"),
            ("recall", like.recall, "share of photographs that could be drawn"),
            ("coverage", like.coverage, "share of photographs with an image near them"),
            ("cars", like.cars, "share that a classifier of ten classes takes for cars"),
        ):
            rows.append((name, f"{pair.generated:.1%}", f"{pair.baseline:.1%}", says))
        if found.fid and found.kid:
            rows.append(_row("FID", found.fid, "Keras's InceptionV3: compares only with its like"))
            rows.append(_row("KID x 1,000", found.kid, "the same, whatever the number of images"))
        rows.append(_row("colour", found.colour, "largest shift of a channel, grey levels"))
        for name, says in (("pixels", "less is collapse"), ("coarse", "of 16 pixels")):
            fake, real = (getattr(x, name) for x in (found.diversity, found.real_diversity))
            unit = f"mean distance of two, grey levels; {says}"
            rows.append((f"diversity, {name}", f"{fake:.1f}", f"{real:.1f}", unit))
        near = f"share within {memory.near:.1f} grey levels of a training photograph"
        rows.append(("near", f"{memory.near_share:.2%}", f"{QUANTILE:.2%}", near))
        says = "share that has a twin among the training photographs"
        rows.append(("copied", f"{memory.copied:.2%}", f"{memory.twins:.2%}", says))
        return rows

    def as_text(self) -> str:
        """Return the results as a table for a terminal."""
        lines = [f"{name:<19}{one:>10}{two:>13}   {says}" for name, one, two, says in self.rows()]
        head = f"{HEAD[0]:<19}{HEAD[1]:>10}{HEAD[2]:>13}"
        return "\n".join([head, *lines, *([self.no_inception] if self.no_inception else [])])


def read_history(path: Path) -> list[dict[str, str]]:
    """Return the rows of a run's ``history.csv``; none if the file is missing."""
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def _row(name: str, pair: tuple[float, float], says: str) -> tuple[str, str, str, str]:
    return (name, f"{pair[0]:.2f}", f"{pair[1]:.2f}", says)

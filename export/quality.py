"""How good a model is beside the newest version of its name, where their figures compare.

The figures are those of the training and of its evaluation, in the manifests. A server takes the
newest version, whatever its images are like.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.bundle import repository

WORSE = 1.25
"""The ratio of two distances from which one model is clearly worse: two runs of one recipe with
different seeds are nearer to each other."""
EVALUATION = "evaluation/evaluation.json"
"""The results of ``python -m training.evaluate``, in the run's directory."""

RESULTS = ("evaluation", "results")
"""The place of an evaluation's results."""
IMAGES = "images_per_half"

Facts = Mapping[str, Any]


def evaluation_of(run: Path) -> dict[str, Any]:
    """Return what the evaluation of a run found, for a manifest; nothing if there was none.

    An evaluation of another epoch than the exported one is not the model's.
    """
    try:
        found = json.loads((run / EVALUATION).read_text())
        facts = json.loads((run / "run.json").read_text())
        if found["run"]["exported_epoch"] != facts.get("exported_epoch", facts["epochs"]):
            return {}
        return figures_of(found)
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def figures_of(found: Facts) -> dict[str, Any]:
    """Return what a manifest keeps of the contents of an ``evaluation.json``."""
    return {"how": found["evaluation"], "results": found["results"]}


def beside_newest(training: Facts, models: Path, name: str, version: str) -> list[str]:
    """Return what is to be said of a model beside the newest version of ``name`` before it.

    ``training`` is the training's part of the lineage, with the ``evaluation`` beside it. Models of
    different photographs are not compared, and of those that were not trained here nothing is
    known.
    """
    there = repository.versions(repository.scan(models), name)
    earlier = [x for x in there if int(x) < int(version)]
    if not earlier or not training:
        return []
    ref = f"{name}/{earlier[0]}"
    before = _training_of(models / ref)
    if before.get("data", {}).get("sha256") != training.get("data", {}).get("sha256"):
        return [f"quality: not compared with {ref}, which was trained on other photographs"]
    for what, mine, theirs in _distances(training, before):
        lines = [f"quality: {what} {mine:.2f}; {ref} has {theirs:.2f} (less is better)"]
        if mine > WORSE * theirs:
            lines.append(
                f"WARNING: this model is clearly worse than {ref}, and a server takes the newest "
                f"version. Remove {models / name / version}, or start servers with "
                f"CARFRONT_VERSION={earlier[0]}, unless it is what you want."
            )
        return lines
    return [f"quality: not compared with {ref}: they have no figure in common"]


def _distances(one: Facts, other: Facts) -> list[tuple[str, float, float]]:
    """Return the distances that both trainings have, the best measure first."""
    found = []
    for what, path in (
        ("distance of features", (*RESULTS, "classifier", "frechet", "generated")),
        ("sliced Wasserstein distance", (*RESULTS, "swd_x1e3", "mean", "generated")),
        ("sliced Wasserstein distance", ("metrics", "swd")),
    ):
        if path[:2] == RESULTS and len({_at(x, (*RESULTS, IMAGES)) for x in (one, other)}) > 1:
            continue  # distances shrink with the number of images
        values = [_at(facts, path) for facts in (one, other)]
        if all(isinstance(value, int | float) for value in values):
            found.append((what, *values))
    return found


def _at(facts: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        facts = facts.get(name) if isinstance(facts, dict) else None
    return facts


def _training_of(bundle: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((bundle / "manifest.json").read_text())
        return {**manifest["lineage"]["training"], "evaluation": manifest.get("evaluation", {})}
    except (OSError, ValueError, KeyError, TypeError):
        return {}

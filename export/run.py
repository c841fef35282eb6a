"""The training run that is exported, read from its directory and checked before any work."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from export.errors import RunIncomplete

READS = 1
"""The schema version of ``run.json`` that this module reads."""
DISTRIBUTION = "normal"
"""The distribution of the latents that the seed rule gives."""
RANGES = ([-1.0, 1.0], [0.0, 1.0])
"""The ranges of images that may be exported: a tanh's and a sigmoid's."""
CHANNELS = (1, 3)
"""The numbers of channels that may be exported: grey and RGB."""


@dataclass(frozen=True)
class Run:
    """A finished training run."""

    saved_model: Path
    latent_dim: int
    image_shape: tuple[int, int, int]
    """The height, the width and the number of channels."""
    image_range: tuple[float, float]
    """The range in which the generator draws, one of ``RANGES``."""
    lineage: dict[str, Any]
    """The whole of ``run.json``: data, recipe, metrics, commit, library versions."""


def read_run(folder: Path) -> Run:
    """Return the run in ``folder``.

    Raises:
        RunIncomplete: something is missing, unreadable, or made for another kind of model.
    """
    if not folder.is_dir():
        raise RunIncomplete(
            f"{folder} is not a directory; train first: python -m training --out {folder}"
        )
    saved_model = folder / "saved_model"
    if not (saved_model / "saved_model.pb").is_file():
        raise RunIncomplete(
            f"{saved_model} holds no SavedModel; run the training to its end, it goes on "
            f"from its checkpoint: python -m training --out {folder}"
        )
    facts = _read_facts(folder / "run.json")
    latent_dim, shape = facts.get("latent_dim"), facts.get("image_shape")
    if type(latent_dim) is not int or latent_dim < 1:
        raise RunIncomplete(_amiss(folder, "latent_dim", latent_dim, "a whole number from 1 on"))
    if not _is_shape(shape):
        raise RunIncomplete(_amiss(folder, "image_shape", shape, "[height, width, 1 or 3]"))
    for name, wanted in (("latent_distribution", [DISTRIBUTION]), ("image_range", RANGES)):
        if facts.get(name) not in wanted:
            allowed = " or ".join(map(repr, wanted))
            raise RunIncomplete(_amiss(folder, name, facts.get(name), allowed))
    low, high = facts["image_range"]
    return Run(saved_model, latent_dim, (shape[0], shape[1], shape[2]), (low, high), facts)


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunIncomplete(
            f"{path} is missing; training writes it last, so run it to its end: "
            f"python -m training --out {path.parent}"
        ) from None
    except (OSError, ValueError) as error:
        raise RunIncomplete(
            f"{path} cannot be read ({error}); train again to rewrite it"
        ) from error
    schema = facts.get("schema_version") if isinstance(facts, dict) else None
    if schema != READS:
        raise RunIncomplete(
            f"{path} has schema version {schema!r} and this export reads {READS}; "
            "use the export that came with the training"
        )
    return dict(facts)


def _is_shape(shape: Any) -> TypeGuard[list[int]]:
    whole = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)
    return whole and len(shape) == 3 and shape[2] in CHANNELS


def _amiss(folder: Path, name: str, value: Any, wanted: str) -> str:
    return (
        f"{folder / 'run.json'}: {name} is {value!r} and export wants {wanted}; "
        "export a run of this project's training"
    )

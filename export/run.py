"""What is exported: a training run, read from its directory and checked before any work.

A generator from elsewhere is made into the same by ``export.sources``.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from export.errors import RunIncomplete
from server.bundle.manifest_values import COLORS

READS = 1
"""The schema version of ``run.json`` that this module reads."""
DISTRIBUTION = "normal"
"""The distribution of the latents on which this project trains."""
RANGES = ([-1.0, 1.0], [0.0, 1.0], [0.0, 255.0])
"""The ranges of images that may be exported: a tanh's, a sigmoid's, and that of bytes."""
CHANNELS = tuple(COLORS)
"""The numbers of channels that may be exported: grey, RGB and RGBA."""


@dataclass(frozen=True)
class Run:
    """The generator of a finished training run, or one from elsewhere in the same form."""

    saved_model: Path
    """A SavedModel: latents float32 [batch, latent_dim] to images float32 [batch, *image_shape]."""
    latent_dim: int
    image_shape: tuple[int, int, int]
    """The height, the width and the number of channels."""
    image_range: tuple[float, float]
    """The range in which the generator draws, one of ``RANGES``."""
    lineage: dict[str, Any]
    """The whole of ``run.json``: data, recipe, metrics, commit, library versions; else nothing."""
    distribution: str = DISTRIBUTION
    """The distribution of the latents, a key of ``server.bundle.latents.RULES``."""
    classes: tuple[str, ...] = ()
    """The names of a conditional generator's classes; its SavedModel has an input ``classes``
    too, int64 [batch]."""
    source: dict[str, Any] = field(default_factory=dict)
    """What is known of the file of a generator from elsewhere, its ``sha256`` among it."""


def read_run(folder: Path) -> Run:
    """Return the run in ``folder``.

    Raises:
        RunIncomplete: something is missing, unreadable, or made for another kind of model.
    """
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
        raise RunIncomplete(_amiss(folder, "image_shape", shape, "[height, width, 1, 3 or 4]"))
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

"""Directions of a generator's latents: along each, images change in a way that has a name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from server.bundle.errors import BundleError

MOST_DIRECTIONS = 16
LONGEST_NAME = 80
"""The characters of a direction's name at most."""


@dataclass(frozen=True)
class Direction:
    """What is added to latents for one standard deviation of change along the direction."""

    name: str
    """The name says what visibly changes, from the negative side to the positive one."""
    latents: list[float]
    """The change, latent_dim numbers."""


def check_directions(directions: Sequence[Direction], latent_dim: int, place: str) -> None:
    """Check that each direction has a name of its own, and a finite number for each latent.

    Raises:
        BundleError: one has not, or there are more than ``MOST_DIRECTIONS``.
    """
    if len(directions) > MOST_DIRECTIONS:
        told = f"{len(directions)} are there; wanted at most {MOST_DIRECTIONS}"
        raise BundleError(f"{place}: directions: {told}")
    names = [direction.name for direction in directions]
    for number, name in enumerate(names):
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
            raise BundleError(
                f"{place}: directions: the name {name[:LONGEST_NAME]!r} is none of 1 to "
                f"{LONGEST_NAME} characters that can be printed"
            )
        if name in names[:number]:
            raise BundleError(f"{place}: directions: {name!r} is there twice")
    for direction in directions:
        numbers = direction.latents
        if len(numbers) != latent_dim or not all(math.isfinite(x) for x in numbers):
            raise BundleError(
                f"{place}: directions: {direction.name!r} has {len(numbers)} numbers; "
                f"wanted {latent_dim} finite ones"
            )

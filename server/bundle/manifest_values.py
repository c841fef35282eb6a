"""The values that the members of a manifest may have."""

from typing import TYPE_CHECKING

from server.bundle.classes import check_names
from server.bundle.directions import check_directions
from server.bundle.errors import BundleError
from server.bundle.latents import SEEDS
from server.bundle.typed_json import told

if TYPE_CHECKING:
    from server.bundle.manifest import ImageFacts, Manifest

MOST_LATENTS = 2**16
MOST_PIXELS = 4096
"""The height and the width of an image at most, in pixels."""
COLORS = {1: "grey", 3: "RGB", 4: "RGBA"}
"""The order of an image's channels by their number. There is none for two."""
MOST_PADDED = 8
"""The rows at most to which a variant has smaller batches padded."""


def check_values(manifest: "Manifest", place: str) -> None:
    """Check what a manifest's types do not say: numbers decide how much memory is taken.

    Raises:
        BundleError: a value cannot be served; the message names ``place`` as its source.
    """
    if not 1 <= manifest.latents.dim <= MOST_LATENTS:
        dim = manifest.latents.dim
        raise BundleError(f"{place}: latents: dim is {told(dim)}; wanted 1 to {MOST_LATENTS}")
    _check_image(manifest.image, place)
    check_names(manifest.classes, place)
    check_directions(manifest.directions, manifest.latents.dim, place)
    if not all(0 <= seed < SEEDS for seed in manifest.golden.seeds):
        raise BundleError(f"{place}: golden: seeds: wanted 0 to 2^64 - 1 for each")
    least = [rows for variant in manifest.variants for rows in variant.least_rows.values()]
    if not all(1 <= rows <= MOST_PADDED for rows in least):
        raise BundleError(f"{place}: variants: least_rows: wanted 1 to {MOST_PADDED} for each")


def _check_image(image: "ImageFacts", place: str) -> None:
    """Check that images have a size that can be served, and channels that every format has."""
    shape, sides = image.shape, range(1, MOST_PIXELS + 1)
    if len(shape) != 3 or not (shape[0] in sides and shape[1] in sides and shape[2] in COLORS):
        raise BundleError(
            f"{place}: image: shape is {told(shape)}; wanted height and width of 1 to "
            f"{MOST_PIXELS}, and 1, 3 or 4 channels"
        )
    if image.colors != COLORS[shape[2]]:
        raise BundleError(
            f"{place}: image: colors is {told(image.colors)}; "
            f'wanted "{COLORS[shape[2]]}" for the shape {shape}'
        )

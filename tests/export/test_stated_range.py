"""A run states the range of its images, and values outside it are a miss."""

import numpy as np
import pytest

from export.stated_range import beyond

TANH, SIGMOID, BYTES = (-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)


def told(low, high, stated):
    """What is told of a generator that draws evenly from ``low`` to ``high``."""
    drawn = np.linspace(low, high, 3072, dtype=np.float32).reshape(1, 32, 32, 3)
    centred = (2 * drawn - sum(stated)) / (stated[1] - stated[0])
    return list(beyond(centred.astype(np.float32), stated))


@pytest.mark.parametrize(
    ("low", "high", "stated"),
    [
        (-1, 1, TANH),
        (-0.3, 0.2, TANH),
        (-1.0038, 1.0038, TANH),  # within half a grey level, which rounds to the same byte
        (0, 1, SIGMOID),
        (0.6, 0.9, SIGMOID),
        (-0.0019, 1.0019, SIGMOID),
        (-0.49, 255.49, BYTES),
    ],
)
def test_images_in_the_stated_range_are_no_miss(low, high, stated):
    assert told(low, high, stated) == []


@pytest.mark.parametrize(
    ("low", "high", "stated", "wanted"),
    [
        (-0.98, 0.97, SIGMOID, "50.2% of the values would be clipped; state [-1.0, 1.0]"),
        (0.01, 0.99, TANH, "no pixel is dark; state [0.0, 1.0]"),
        (-1.1, 1, TANH, "4.6% of the values would be clipped; end the generator with a tanh or a"),
        (0, 255, SIGMOID, "99.6% of the values would be clipped; state [0.0, 255.0] "),
        (0, 256, BYTES, "0.2% of the values would be clipped; end the generator with a tanh or a"),
        (
            0,
            1,
            BYTES,
            "no pixel is light; state [0.0, 1.0] (image_range in run.json, or --ra",
        ),
    ],
)
def test_other_range_is_told_with_the_one_to_state(low, high, stated, wanted):
    (miss,) = told(low, high, stated)
    seen = f"from {low:.3f} to {high:.3f}, where its range is stated as {[*stated]}"
    assert miss.startswith(f"the generator draws values {seen}: {wanted}")

"""Every parameter counts, and what is too large is refused before it is drawn."""

from dataclasses import fields

import pytest

from server.api.parameters import ImageParameters
from server.codecs.formats import FORMATS
from server.errors import InvalidRequest

OTHERS = {"format": "jpeg", "scale": 2, "filter": "lanczos", "columns": 3}
"""For each parameter a value that is not its default."""


def test_every_parameter_is_part_of_the_tag():
    assert {field.name for field in fields(ImageParameters)} == set(OTHERS), "the list is too short"
    tags = {ImageParameters().tag, *(ImageParameters(**{k: v}).tag for k, v in OTHERS.items())}
    assert len(tags) == 1 + len(OTHERS)


@pytest.mark.parametrize("name", FORMATS)
def test_tag_can_stand_between_quotes_in_a_list(name):
    tag = ImageParameters(name, filter="lanczos").tag
    assert not set(tag) & set('", \\')


@pytest.mark.parametrize(
    ("parameters", "n", "told"),
    [
        (ImageParameters(scale=32), 4, None),
        (
            ImageParameters(scale=32),
            5,
            "scale is 32; wanted at most 28: there are at most 4194304 pixels",
        ),
        (ImageParameters(scale=1), 4096, None),
        (ImageParameters("npy", 1), 4097, None),  # the arena's business
        (
            ImageParameters("npy", 2),
            4096,
            "scale is 2; wanted at most 1: there are at most 4194304 pixels",
        ),
        (ImageParameters("webp", columns=511), 511, None),
        (
            ImageParameters("webp", columns=512),
            512,
            "cols is 512; wanted fewer: webp has at most 16383 pixels in a row or column",
        ),
        (
            ImageParameters("webp", columns=1),
            512,
            "rows is 512; wanted fewer: webp has at most 16383 pixels in a row or column",
        ),
        (
            ImageParameters("webp", 2, columns=511),
            511,
            "scale is 2; wanted at most 1: there are at most 16383 pixels in a row or column",
        ),
        (ImageParameters("jpeg", columns=2046), 2046, None),
        (
            ImageParameters("jpeg", columns=2047),
            2047,
            "cols is 2047; wanted fewer: jpeg has at most 65500 pixels in a row or column",
        ),
    ],
)
def test_answer_has_so_many_pixels_at_most(parameters, n, told):
    if told is None:
        parameters.check_size(n, [32, 32, 3])
        return
    with pytest.raises(InvalidRequest) as error:
        parameters.check_size(n, [32, 32, 3])
    assert str(error.value) == told


def test_sheet_of_more_images_than_its_format_is_wide_is_refused():
    with pytest.raises(InvalidRequest, match=r"^n is 4096; wanted fewer: webp has at most 16383"):
        ImageParameters("webp").check_size(4096, [256, 256, 3])


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        (ImageParameters(), (6, 4, 5, 3)),
        (ImageParameters("raw", 3), (6, 12, 15, 3)),
        (ImageParameters(columns=3), (1, 8, 15, 3)),
        (ImageParameters(scale=2, columns=2), (1, 24, 20, 3)),
    ],
)
def test_shape_is_that_of_what_is_encoded(parameters, shape):
    assert parameters.shape(6, [4, 5, 3]) == shape

"""The tensors of a ``predict``: latents, and a class for each row where the model has classes."""

import pytest

from server.api.oip_tensors import LatentsShape
from server.api.tfserving_inputs import read_tensors
from server.errors import InvalidRequest

SHAPE = LatentsShape(3, 8)
ROWS = [[0.5, -1.0, 2.0], [1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [{"latents": ROWS[0], "class": 3}, {"class": "dog", "latents": ROWS[1]}]},
        {"instances": [{"latents": ROWS[0], "class": [3]}, {"latents": ROWS[1], "class": ["dog"]}]},
        {"inputs": {"latents": ROWS, "class": [3, "dog"]}},
        {"inputs": {"class": [[3], ["dog"]], "latents": ROWS}},
    ],
)
def test_each_row_may_have_a_class(document):
    latents, classes = read_tensors(document, SHAPE)
    assert latents.tolist() == ROWS
    assert classes == [3, "dog"]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"instances": [{"latents": ROWS[0], "class": 3}, ROWS[1]]}, r"class\[1\] is None; wanted"),
        (
            {"instances": [{"latents": ROWS[0], "class": 1.5}]},
            r"class\[0\] is 1\.5; wanted the name",
        ),
        ({"instances": [{"latents": ROWS[0], "class": [0, 1]}]}, r"class\[0\] is \[0, 1\]; wanted"),
        (
            {"instances": [{"class": 3}]},
            r"instances is \['class'\]; wanted one, latents, and class",
        ),
        ({"inputs": {"latents": ROWS, "class": 3}}, "class is 3; wanted a list of 2, one for each"),
        (
            {"inputs": {"latents": ROWS, "class": [3]}},
            "class is a list of 1; wanted 2, one for each",
        ),
    ],
)
def test_classes_that_are_not_one_for_each_row_are_refused_in_words(document, told):
    with pytest.raises(InvalidRequest, match=told):
        read_tensors(document, SHAPE)

"""A class is named by its name or its number, and what is named has to be there."""

import numpy as np
import pytest

from server.bundle.classes import (
    OWN,
    check_names,
    class_id,
    class_ids,
    classes_of,
    named_for_each,
)
from server.bundle.errors import BundleError
from server.errors import InvalidRequest

PETS = ["cat", "dog", "2", "grey cow"]


def test_seeds_have_the_classes_in_turn_up_to_the_last_seed():
    found = classes_of([0, 1, 9, 10, 2**64 - 1], 10)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 1, 9, 0, 5]


@pytest.mark.parametrize(
    ("named", "number"),
    [(None, OWN), ("dog", 1), (1, 1), ("1", 1), ("2", 2), (2, 2), ("grey cow", 3), ("03", 3)],
)
def test_class_is_found_by_name_and_by_number(named, number):
    assert class_id(PETS, named, "pets/1") == number


@pytest.mark.parametrize("named", ["cow", "Cat", "", 4, -1, "4", "-1", "9" * 5000, 10**30, "٣"])
def test_class_that_is_not_there_is_told_which_are(named):
    with pytest.raises(InvalidRequest) as refusal:
        class_id(PETS, named, "pets/1")
    told = str(refusal.value)
    assert told.startswith("class is ")
    assert told.endswith('; wanted "cat", "dog", "2", "grey cow", or a number from 0 to 3')


def test_classes_of_a_list_are_found_by_name_and_by_number_and_those_of_an_array_kept():
    listed = class_ids(PETS, ["dog", 0, "2", "grey cow", "03", 2], "pets/1")
    assert listed.dtype == np.int32
    assert listed.tolist() == [1, 0, 2, 3, 3, 2]
    assert class_ids(PETS, np.array([3, 0], np.int64), "pets/1").tolist() == [3, 0]


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (["cat", "cow"], "class[1] is 'cow'"),
        ([0, 1, 4, 5], "class[2] is 4"),
        ([-(10**30)], f"class[0] is -{10**30}"),
        ([10**30], f"class[0] is {10**30}"),
        (np.array([0, -1]), "class[1] is -1"),
        (np.array([2**40, 0]), f"class[0] is {2**40}"),
    ],
)
def test_class_of_a_list_that_is_not_there_is_told_with_its_place(named, told):
    with pytest.raises(InvalidRequest) as refusal:
        class_ids(PETS, named, "pets/1")
    wanted = '"cat", "dog", "2", "grey cow", or a number from 0 to 3'
    assert str(refusal.value) == f"{told}; wanted {wanted}"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (["cat"], "class is a list of 1; wanted 2, one for each image"),
        ([], "class is a list of 0; wanted 2, one for each image"),
        (["cat", None], "class[1] is None; wanted the name or the number of a class"),
        ([True, 0], "class[0] is True; wanted the name or the number of a class"),
        ([[0, 1], [1, 0]], "class[0] is [0, 1]; wanted the name or the number of a class"),
        (0.5, "class is 0.5; wanted the name or the number of a class"),
        ({}, "class is {}; wanted the name or the number of a class"),
    ],
)
def test_member_of_json_that_names_no_class_for_each_image_is_refused(value, told):
    with pytest.raises(InvalidRequest) as refusal:
        named_for_each(value, 2)
    assert str(refusal.value) == told
    assert named_for_each(["cat", 3], 2) == ["cat", 3]


def test_long_list_of_classes_is_not_told_whole():
    with pytest.raises(InvalidRequest) as refusal:
        class_id([f"class {i}" for i in range(1000)], "cow", "many/1")
    told = str(refusal.value)
    assert told.endswith('"class 11" or another of 1000 names, or a number from 0 to 999')
    assert len(told) < 300


def test_class_of_a_model_without_any_is_told_so():
    assert class_id([], None, "cars-dcgan/1") == OWN
    with pytest.raises(InvalidRequest, match="wanted none, as cars-dcgan/1 has no classes"):
        class_id([], 0, "cars-dcgan/1")
    with pytest.raises(InvalidRequest, match="wanted none, as cars-dcgan/1 has no classes"):
        class_ids([], [0, 1], "cars-dcgan/1")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["cat"], "1 are named; wanted 2 to 10000"),
        ([str(i) for i in range(10_001)], "10001 are named"),
        (["cat", "dog", "cat"], "'cat' is there twice"),
        (["cat", ""], "the name '' is none of 1 to 64 characters"),
        (["cat", "d\nog"], "the name 'd\\\\nog' is none of"),
        (["cat", " dog"], "the name ' dog' is none of"),
        (["cat", "d" * 65], "the name 'd{64}' is none of"),
        (["1", "2"], "class 0 is called '1', another's number"),
    ],
)
def test_names_that_do_not_name_one_class_each_are_refused(names, told):
    with pytest.raises(BundleError, match=f"manifest.json: classes: {told}"):
        check_names(names, "manifest.json")
    check_names([], "manifest.json")
    check_names(["0", "one", "2"], "manifest.json")

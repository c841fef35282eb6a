"""A wrong path is answered with the layout that was expected and with what is there."""

import pytest

from training.data.layout import DataError, box_from_1, find_root, found_in

LAYOUT = "  sv_data/image/<model>/<file>.jpg"


def test_folder_itself_or_the_one_that_holds_it_will_do(tmp_path):
    (tmp_path / "sv_data" / "image").mkdir(parents=True)
    assert find_root(tmp_path, "sv_data", ["image"], LAYOUT) == tmp_path / "sv_data"
    assert find_root(tmp_path / "sv_data", "sv_data", ["image"], LAYOUT) == tmp_path / "sv_data"


def test_missing_part_is_told_with_the_layout_and_what_is_there(tmp_path):
    (tmp_path / "sv_data").mkdir()
    (tmp_path / "sv_data" / "holiday.jpg").touch()
    with pytest.raises(DataError) as told:
        find_root(tmp_path, "sv_data", ["image"], LAYOUT)
    assert str(told.value) == (
        f"--data-path {tmp_path}: expected\n{LAYOUT}\nfound no image/ in sv_data/, but holiday.jpg"
    )


def test_long_folder_is_told_by_its_first_names(tmp_path):
    for n in range(9):
        (tmp_path / f"{n}.jpg").touch()
    (tmp_path / "0").mkdir()
    assert found_in(tmp_path) == "0.jpg, 0/, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 4 more"


def test_what_is_no_folder_is_told_as_what_it_is(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert found_in(tmp_path / "file") == "a file, not a folder"
    assert found_in(tmp_path / "nowhere") == "no such folder"
    assert found_in(tmp_path / "empty") == "an empty folder"


def test_box_counted_from_1_with_both_ends_inside_covers_the_same_pixels():
    assert box_from_1(1, 1, 4, 2) == (0, 0, 4, 2)

"""Photographs have names, and a wrong path is answered with what is there."""

from training.data.layout import Photo, box_from_1, found_in


def test_photograph_in_a_table_is_named_by_its_row(tmp_path):
    assert Photo(tmp_path / "a" / "b.jpg").name(tmp_path) == "a/b.jpg"
    assert Photo(tmp_path / "a.parquet", row=7).name(tmp_path) == "a.parquet, row 7"


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

"""Data sets are found in folders in folders, and their files under names that differ a little."""

import pytest

from training.data import tree
from training.data.layout import DataError
from training.data.tree import Files, Names, find_root, innermost, read_lines, survey

LAYOUT = "  sv_data/image/<model>/<file>.jpg"


def test_folder_itself_or_one_that_holds_it_will_do(tmp_path):
    (tmp_path / "archive" / "sv_data" / "image").mkdir(parents=True)
    for path in (tmp_path, tmp_path / "archive", tmp_path / "archive" / "sv_data"):
        root = find_root(path, ["image"], LAYOUT)
        assert root.path == tmp_path / "archive" / "sv_data"
        assert root.parts == {"image": root.path / "image"}
        assert root.others == []


def test_nearest_is_taken_and_the_others_are_told(tmp_path):
    for name in ("b/image", "a/deeper/image", "c/image", "b/inside/image"):
        (tmp_path / name).mkdir(parents=True)
    root = find_root(tmp_path, ["image"], LAYOUT)
    assert root.path == tmp_path / "b"
    assert root.others == [tmp_path / "c", tmp_path / "a" / "deeper"]


def test_missing_part_is_told_with_the_layout_and_what_is_there(tmp_path):
    (tmp_path / "sv_data" / "image").mkdir(parents=True)
    with pytest.raises(DataError) as told:
        find_root(tmp_path, ["image", "train.txt"], LAYOUT)
    assert str(told.value) == (
        f"--data-path {tmp_path}: expected\n{LAYOUT}\nfound no train.txt in sv_data/, but image/"
    )
    with pytest.raises(DataError, match=r"found no label/, but sv_data/$"):
        find_root(tmp_path, ["label"], LAYOUT)


def test_search_ends_in_a_large_tree_and_in_circles(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    depths = [len(folder.path.relative_to(tmp_path).parts) for folder in survey(tmp_path)]
    assert depths == sorted(depths)
    assert max(depths) == tree.DEPTH
    monkeypatch.setattr(tree, "LIMIT", 3)
    assert len(list(survey(tmp_path))) == 3


def test_innermost_folder_of_one_name_is_found_in_any_case(tmp_path):
    (tmp_path / "image" / "Image" / "IMAGE").mkdir(parents=True)
    assert innermost(tmp_path / "image") == tmp_path / "image" / "Image" / "IMAGE"


def test_name_that_is_exact_goes_before_one_in_another_case_and_that_before_another_ending(
    tmp_path,
):
    names = Names([tmp_path / name for name in ("a.png", "A.JPG", "a.jpg", "B.JPG", "list.txt")])
    assert names.get("a.jpg") == tmp_path / "a.jpg"
    assert names.get("A.JPG") == tmp_path / "A.JPG"
    assert Names([tmp_path / "a.png", tmp_path / "A.JPG"]).get("a.jpg") == tmp_path / "A.JPG"
    assert names.get("a.webp") == tmp_path / "a.png"
    assert names.get("b.jpeg") == tmp_path / "B.JPG"
    assert names.get("list.jpg") is names.get("c.jpg") is names.get("list") is None


def test_file_that_is_not_there_has_the_path_that_it_would_have(tmp_path):
    (tmp_path / "Make" / "2014").mkdir(parents=True)
    files = Files(tmp_path)
    assert files.find("make/2014/a.jpg") == tmp_path / "Make" / "2014" / "a.jpg"
    assert files.find("other/2014/a.jpg") == tmp_path / "other" / "2014" / "a.jpg"
    assert len(files.missing) == 2


def test_bytes_that_are_no_utf8_still_name_their_file(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfcaf\xe9.jpg\n\n  b c.jpg \n")
    first, second = read_lines(tmp_path / "list.txt")
    assert first.encode(errors="surrogateescape") == b"caf\xe9.jpg"
    assert second == "b c.jpg"

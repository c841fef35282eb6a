"""Any folder of images will do, whatever else lies in it."""

import pytest

from training.data.folder import photos
from training.data.layout import DataError


def test_images_below_are_found_by_name_in_one_order(tmp_path):
    names = ["a/z.JPG", "a/b/c.png", "a.webp", "b.tiff"]
    for name in [*names, "notes.txt", "a/._z.JPG", "README"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [photo.file.relative_to(tmp_path).as_posix() for photo in photos(tmp_path)]
    assert found == ["a/b/c.png", "a/z.JPG", "a.webp", "b.tiff"]


def test_folder_without_images_is_told_with_what_there_is(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"(?s)ending in .*\.jpg.*found notes\.txt"):
        photos(tmp_path)

"""Any folder of images will do, whatever else lies in it."""

import os

import pytest

from training.data import load_images
from training.data.folder import left_out, photos
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


def test_file_without_an_ending_is_an_image_if_its_content_is(tmp_path, street, save):
    for name, kind in (("IMG_1", "jpeg"), ("sub/IMG_2", "png"), ("IMG_3.", "webp")):
        save(street(), tmp_path / name, format=kind)
    (tmp_path / "README").write_text("These are cars.")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    found = [photo.file.relative_to(tmp_path).as_posix() for photo in photos(tmp_path)]
    assert found == ["IMG_1", "IMG_3.", "sub/IMG_2"]


def test_damaged_image_without_an_ending_is_reported_like_any_other(tmp_path, street, save):
    file = save(street(400, 400), tmp_path / "cars" / "IMG_1", format="jpeg")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"1 of the first 1 files cannot be read"):
        load_images("folder", tmp_path / "cars")


def test_files_that_are_left_out_are_told_by_kind_with_the_reason(tmp_path, street, save, capsys):
    for n in range(3):
        save(street(), tmp_path / "cars" / f"{n}.png")
        (tmp_path / "cars" / f"{n}.HEIC").touch()
    for name in ("notes.txt", "README", ".DS_Store"):
        (tmp_path / "cars" / name).touch()
    for _ in range(2):  # prepared, and from the cache
        assert len(load_images("folder", tmp_path / "cars", 2)) == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            "folder: 6 files left out: 3 .heic, 1 .txt (endings that are not read: convert images "
            "to .jpg or .png), 1 without an ending (their content is no image), 1 hidden"
        )


def test_many_endings_are_counted_together(tmp_path):
    for n in range(9):
        for k in range(n + 1):
            (tmp_path / f"{k}.e{n}").touch()
    told = left_out(tmp_path, [])
    assert told.startswith("45 files left out: 9 .e8, 8 .e7, 7 .e6, 6 .e5, 5 .e4, 4 .e3, ")
    assert "4 .e3, 6 with other endings (endings that are not read" in told


def test_nothing_left_out_is_not_told(tmp_path, street, save, capsys):
    save(street(), tmp_path / "cars" / "a.png")
    load_images("folder", tmp_path / "cars")
    assert "left out" not in capsys.readouterr().err


def below(path):
    return [photo.file.relative_to(path).as_posix() for photo in photos(path)]


def test_what_systems_leave_behind_is_no_photograph(tmp_path, street, save):
    for name in ("archive/cars/a.jpg", "__MACOSX/cars/a.jpg", ".thumbnails/a.jpg", "@eaDir/a.jpg"):
        save(street(), tmp_path / name)
    for name in ("archive/cars/._a.jpg", "archive/Thumbs.db", "archive/desktop.ini"):
        (tmp_path / name).touch()
    assert below(tmp_path) == ["archive/cars/a.jpg"]
    assert left_out(tmp_path, photos(tmp_path)) == (
        "3 files left out: 3 hidden, and 3 hidden folders with all that is in them"
    )


def test_pipe_and_broken_link_named_like_images_are_left_out_and_told(tmp_path, street, save):
    save(street(), tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "d.jpg").symlink_to("d.jpg")
    assert below(tmp_path) == ["a.jpg"]
    assert left_out(tmp_path, photos(tmp_path)) == (
        "3 files left out: 3 pipes, devices or broken links"
    )


def test_links_to_folders_are_followed_each_folder_once(tmp_path, street, save):
    save(street(), tmp_path / "elsewhere" / "far.jpg")
    root = tmp_path / "my cars"
    save(street(), root / "sub" / "near.jpg")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root / "sub")
    (root / "sub" / "up").symlink_to(root)
    (root / "file.jpg").symlink_to(tmp_path / "elsewhere" / "far.jpg")
    assert below(root) == ["file.jpg", "linked/far.jpg", "sub/near.jpg"]


def test_folder_is_told_with_its_number_of_images(tmp_path, street, save, capsys):
    save(street(), tmp_path / "cars" / "a.JPEG")
    load_images("folder", tmp_path / "cars")
    assert capsys.readouterr().err.splitlines()[0] == "folder of images: 1 images"

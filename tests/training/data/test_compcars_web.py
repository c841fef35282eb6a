"""CompCars web-nature: a label of three lines decides whether a car is shown, and where."""

import numpy as np
import pytest

from training.data import DataError, load_images
from training.data.compcars_web import photos
from training.data.layout import NO_BOX, Photo

FRONT, SIDE, FRONT_SIDE, UNSURE = (
    "78/1/2014/a.jpg",
    "78/1/2014/b.jpg",
    "9/2/2012/c.jpg",
    "9/3/0/d.jpg",
)
BOX = (9, 5, 49, 45)


@pytest.fixture
def data(tmp_path, street, save):
    root = tmp_path / "data"
    for name, viewpoint in ((FRONT, 1), (SIDE, 3), (FRONT_SIDE, 4), (UNSURE, -1)):
        save(street(96, 64, BOX), root / "image" / name, quality=95)
        label = (root / "label" / name).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{viewpoint}\n1\n10 6 49 45\n")
    lists = root / "train_test_split" / "classification"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text(f"{SIDE}\n{FRONT}\n")
    (lists / "test.txt").write_text(f"{FRONT_SIDE}\n")
    return root


def test_front_views_are_taken_with_their_boxes(data):
    assert photos(data) == [Photo(data / "image" / FRONT, BOX)]
    assert photos(data.parent) == [Photo(data / "image" / FRONT, BOX)]


def test_front_side_views_are_added_by_choice(data):
    names = [
        photo.file.relative_to(data / "image").as_posix()
        for photo in photos(data, views="front-side")
    ]
    assert names == [FRONT, FRONT_SIDE]


def test_split_takes_what_is_listed_and_shows_the_view(data):
    assert photos(data, "train") == [Photo(data / "image" / FRONT, BOX)]
    assert photos(data, "test", "front-side") == [Photo(data / "image" / FRONT_SIDE, BOX)]


def test_image_is_what_the_box_shows(data, shows_car):
    (image,) = load_images("compcars-web", data, crop_margin=0.0)
    assert shows_car(image)
    (image,) = load_images("compcars-web", data, crop_margin=0.1)
    assert (image[1, :, 2] > 200).all()
    assert (image[16, 8:24, 0] > 200).all()


@pytest.mark.parametrize("label", ["", "1\n1\n", "1\n1\n10 6 x 45\n", "\0\0"])
def test_broken_label_gives_a_photograph_that_will_be_reported(data, label):
    (data / "label" / "78/1/2014/a.txt").write_text(label)
    assert photos(data) == [Photo(data / "image" / FRONT, NO_BOX)]


def test_listed_photograph_without_a_label_will_be_reported(data):
    (data / "label" / "78/1/2014/a.txt").unlink()
    assert photos(data, "train") == [Photo(data / "image" / FRONT, NO_BOX)]


def test_no_front_view_at_all_is_told_with_the_layout(data):
    (data / "label" / "78/1/2014/a.txt").write_text("2\n1\n10 6 49 45\n")
    with pytest.raises(DataError, match=r"(?s)<make>/<model>/<year>/<file>.txt.*4 labels, none of"):
        photos(data)


def test_split_without_its_list_is_told(data):
    (data / "train_test_split/classification/test.txt").unlink()
    with pytest.raises(DataError, match=r"(?s)expected.*classification.*no train_test_split"):
        photos(data, "test")


def test_margin_is_part_of_what_is_cached(data):
    narrow = load_images("compcars-web", data, crop_margin=0.0)
    wide = load_images("compcars-web", data, crop_margin=0.5)
    assert not np.array_equal(narrow, wide)


def test_copy_in_a_folder_of_its_name_with_other_cases_is_found(data, tmp_path):
    (tmp_path / "x").mkdir()
    root = tmp_path / "x" / "data"
    data.rename(root)
    (root / "image").rename(root / "image1")
    (root / "IMAGE").mkdir()
    (root / "image1").rename(root / "IMAGE" / "image")
    (root / "IMAGE/image" / "78/1/2014/a.jpg").rename(root / "IMAGE/image" / "78/1/2014/a.JPEG")
    found = photos(tmp_path, views="front-side")
    names = ["78/1/2014/a.JPEG", FRONT_SIDE]
    assert found == [Photo(root / "IMAGE" / "image" / name, BOX) for name in names]
    assert found.layout == (
        "CompCars, web-nature: 2 images of front-side views, folders x/data/IMAGE/image/ and "
        "x/data/label/"
    )
    assert photos(root, "test", "front-side") == found[1:]


def test_lists_and_labels_of_windows_are_read(data):
    lists = data / "train_test_split" / "classification"
    lists.rename(lists.with_name("Classification"))
    content = (f"\ufeff{SIDE}\r\n{FRONT}\r\n").replace("/", "\\")
    (lists.with_name("Classification") / "train.txt").write_text(content, newline="")
    (data / "label" / FRONT).with_suffix(".txt").write_text("\ufeff1\r\n1\r\n10 6 49 45\r\n")
    assert photos(data, "train") == [Photo(data / "image" / FRONT, BOX)]


def test_labels_that_macos_left_behind_are_none(data):
    (data / "label" / "78/1/2014" / "._a.txt").write_bytes(b"\0\5\x16\7")
    assert photos(data) == [Photo(data / "image" / FRONT, BOX)]


def test_label_without_its_photograph_is_counted(data):
    (data / "image" / FRONT).unlink()
    found = photos(data, views="front-side")
    assert found[0] == Photo(data / "image" / FRONT, BOX)
    assert found.notes == (f"1 of 2 listed photographs are not there, first image/{FRONT}",)

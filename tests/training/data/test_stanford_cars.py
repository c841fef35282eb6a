"""Stanford Cars: two folders, and two MATLAB files that say where the cars are."""

import numpy as np
import pytest
from scipy.io import savemat

from training.data import DataError, load_images
from training.data.layout import Photo
from training.data.stanford_cars import photos

FIELDS = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
BOX = (9, 5, 49, 45)


def annotations(names, labelled=True):
    """What the devkit's files hold: a struct array, 1 x N, of small unsigned numbers."""
    fields = [name for name in FIELDS if labelled or name != "class"]
    values = dict(zip(FIELDS, [10, 6, 49, 45, 14, None], strict=True))
    entries = np.empty((1, len(names)), [(name, object) for name in fields])
    for n, file in enumerate(names):
        numbers = (np.array([[values[name]]], np.uint8) for name in fields[:-1])
        entries[0, n] = (*numbers, file)
    return {"annotations": entries}


@pytest.fixture
def cars(tmp_path, street, save):
    root = tmp_path / "stanford"
    (root / "devkit").mkdir(parents=True)
    for split, names in (("train", ["00001.jpg", "00002.jpg"]), ("test", ["00001.jpg"])):
        for name in names:
            save(street(96, 64, BOX), root / f"cars_{split}" / name, quality=95)
        content = annotations(names, labelled=split == "train")
        savemat(root / "devkit" / f"cars_{split}_annos.mat", content)
    return root


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["cars_train/00001.jpg", "cars_train/00002.jpg"]),
        ("test", ["cars_test/00001.jpg"]),
        ("both", ["cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"]),
    ],
)
def test_split_is_what_its_annotations_say(cars, split, names):
    assert photos(cars, split) == [Photo(cars / name, BOX) for name in names]


@pytest.mark.parametrize("place", ["devkit", "."])
def test_test_split_may_come_with_its_labels(cars, place):
    (cars / "devkit" / "cars_test_annos.mat").unlink()
    savemat(cars / place / "cars_test_annos_withlabels.mat", annotations(["00001.jpg"]))
    assert photos(cars, "test") == [Photo(cars / "cars_test" / "00001.jpg", BOX)]


def test_copy_with_its_folders_doubled_is_read(cars):
    inner = cars / "cars_test" / "cars_test"
    inner.mkdir()
    (cars / "cars_test" / "00001.jpg").rename(inner / "00001.jpg")
    assert photos(cars, "test") == [Photo(inner / "00001.jpg", BOX)]


def test_images_are_what_the_boxes_show(cars, shows_car):
    images = load_images("stanford-cars", cars, crop_margin=0.0)
    assert images.shape == (3, 32, 32, 3)
    assert all(map(shows_car, images))


def test_missing_annotations_are_told_with_the_layout(cars):
    (cars / "devkit" / "cars_test_annos.mat").unlink()
    with pytest.raises(DataError, match=r"(?s)cars_test/<file>.jpg.*no devkit/cars_test_annos.mat"):
        photos(cars)


def test_one_split_needs_the_other_not(cars):
    (cars / "devkit" / "cars_test_annos.mat").unlink()
    assert len(photos(cars, "train")) == 2

"""Stanford Cars: two folders, and two MATLAB files that say where the cars are."""

import os
import re
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from training.data import DataError, layout_of, load_images
from training.data.layout import NO_BOX, Photo
from training.data.stanford_cars import photos

FIELDS = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
BOX = (9, 5, 49, 45)


def struct_array(fields, rows):
    """What MATLAB's files hold: a struct array, 1 x N, of small unsigned numbers and texts."""
    entries = np.empty((1, len(rows)), [(name, object) for name in fields])
    for n, row in enumerate(rows):
        entries[0, n] = tuple(
            value if isinstance(value, str) else np.array([[value]], np.uint8) for value in row
        )
    return {"annotations": entries}


def annotations(names, labelled=True):
    """What the devkit's files hold."""
    fields = [name for name in FIELDS if labelled or name != "class"]
    values = dict(zip(FIELDS, [10, 6, 49, 45, 14, None], strict=True))
    return struct_array(fields, [[values[name] for name in fields[:-1]] + [n] for n in names])


def combined(names, tested=()):
    """What ``cars_annos.mat`` holds."""
    fields = ["relative_im_path", *FIELDS[:-1], "test"]
    return struct_array(fields, [[n, 10, 6, 49, 45, 14, int(n in tested)] for n in names])


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


# Copies as people have them


def relative(found, root):
    return [photo.file.relative_to(root).as_posix() for photo in found]


@pytest.mark.parametrize("place", ["car_devkit/devkit", "devkit/devkit", ".", "Car_DevKit"])
def test_annotations_are_found_wherever_they_lie(cars, place):
    wanted = photos(cars)
    (cars / "devkit").rename(cars / "moved")
    (cars / place).mkdir(parents=True, exist_ok=True)
    for file in (cars / "moved").iterdir():
        file.rename(cars / place / file.name)
    found = photos(cars)
    assert found == wanted
    prefix = "" if place == "." else f"{place}/"
    assert found.layout == (
        "Stanford Cars, Kaggle's layout: 3 images in cars_train/ and cars_test/, annotations "
        f"{prefix}cars_train_annos.mat and {prefix}cars_test_annos.mat"
    )
    assert found.notes == ()


def test_authors_layout_is_told_as_such(cars):
    wanted = (
        "Stanford Cars, the authors' layout: 3 images in cars_train/ and cars_test/, annotations "
        "devkit/cars_train_annos.mat and devkit/cars_test_annos.mat"
    )
    assert photos(cars).layout == wanted
    above = photos(cars.parent).layout
    assert above == re.sub(r"(cars_t\w+/|devkit/)", r"stanford/\1", wanted)


def test_copy_of_kaggle_is_read_with_its_boxes(cars, tmp_path, capsys, shows_car):
    root = tmp_path / "archive (1)"
    cars.rename(root)
    for split in ("train", "test"):
        (root / f"cars_{split}").rename(root / "inner")
        (root / f"Cars_{split}").mkdir()
        (root / "inner").rename(root / f"Cars_{split}" / f"cars_{split}")
    (root / "Cars_train" / "cars_train" / "00002.jpg").rename(
        root / "Cars_train" / "cars_train" / "00002.JPG"
    )
    (root / "devkit").rename(root / "inner")
    (root / "car_devkit").mkdir()
    (root / "inner").rename(root / "car_devkit" / "devkit")
    savemat(root / "cars_annos.mat", combined(["car_ims/000001.jpg", "car_ims/000002.jpg"]))
    (root / "__MACOSX" / "cars_train").mkdir(parents=True)
    (root / "Cars_train" / "cars_train" / "._00001.jpg").touch()
    (root / "Cars_train" / "cars_train" / "Thumbs.db").touch()
    images = load_images("stanford-cars", tmp_path, crop_margin=0.0)
    assert len(images) == 3
    assert all(map(shows_car, images))
    assert capsys.readouterr().err.splitlines()[0] == (
        "Stanford Cars, Kaggle's layout: 3 images in archive (1)/Cars_train/cars_train/ and "
        "archive (1)/Cars_test/cars_test/, annotations "
        "archive (1)/car_devkit/devkit/cars_train_annos.mat and "
        "archive (1)/car_devkit/devkit/cars_test_annos.mat"
    )
    assert layout_of(images).startswith("Stanford Cars, Kaggle's layout: 3 images in archive (1)/")
    assert photos(tmp_path, "train")[1].file.name == "00002.JPG"
    assert photos(tmp_path).notes == ()


@pytest.fixture
def car_ims(tmp_path, street, save):
    root = tmp_path / "car_ims"
    for n in range(1, 5):
        save(street(96, 64, BOX), root / f"{n:06}.jpg", quality=95)
    names = [f"car_ims/{n:06}.jpg" for n in range(1, 5)]
    savemat(tmp_path / "cars_annos.mat", combined(names, tested=names[1:3]))
    return root


def test_combined_annotations_tell_box_and_split(car_ims, tmp_path):
    def wanted(*numbers):
        return [Photo(car_ims / f"{n:06}.jpg", BOX) for n in numbers]

    assert photos(tmp_path, "train") == wanted(1, 4)
    assert photos(tmp_path, "test") == wanted(2, 3)
    found = photos(tmp_path)
    assert found == wanted(1, 4, 2, 3)
    assert found.layout == (
        "Stanford Cars, Kaggle's combined layout: 4 images in car_ims/, annotations cars_annos.mat"
    )
    assert found.notes == ()


def test_combined_annotations_with_slashes_of_windows_in_a_second_download(car_ims, tmp_path):
    wanted = photos(tmp_path)
    names = [f"car_ims\\{n:06}.jpg" for n in range(1, 5)]
    (tmp_path / "cars_annos.mat").unlink()
    savemat(tmp_path / "cars_annos (1).mat", combined(names, tested=names[1:3]))
    assert photos(tmp_path) == wanted


def test_photographs_with_other_numbers_than_their_annotations_have_no_boxes(cars):
    """As in Kaggle's copy, where ``cars_annos.mat`` counts the photographs of ``car_ims``."""
    for file in (cars / "devkit").iterdir():
        file.unlink()
    names = [f"car_ims/{n:06}.jpg" for n in range(1, 4)]
    savemat(cars / "cars_annos.mat", combined(names, names[:1]))
    found = photos(cars)
    wanted = ["cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"]
    assert found == [Photo(cars / name, None) for name in wanted]
    assert found.layout == (
        "Stanford Cars, Kaggle's layout without the devkit: 3 images in cars_train/ and "
        "cars_test/, without boxes, since cars_annos.mat has other numbers for them: "
        "cars_train_annos.mat and cars_test_annos.mat of the devkit, put beside it, have their "
        "boxes"
    )
    assert relative(photos(cars, "test"), cars) == ["cars_test/00001.jpg"]


def test_copy_by_classes_has_its_boxes_in_tables_of_text(tmp_path, street, save):
    root = tmp_path / "car_data" / "car_data"
    for name in ("train/Audi A5/00002.jpg", "train/BMW X3/00001.jpg", "test/Audi A5/00001.jpg"):
        save(street(96, 64, BOX), root / name)
    (tmp_path / "anno_train.csv").write_text(
        "\ufeff00001.jpg,10,6,49,45,2\r\n00002.jpg,10,6,49,45,1\r\n"
    )
    (tmp_path / "anno_test.csv").write_text("00001.jpg,10,6,49,45,1\n")
    found = photos(tmp_path)
    names = ["train/BMW X3/00001.jpg", "train/Audi A5/00002.jpg", "test/Audi A5/00001.jpg"]
    assert found == [Photo(root / name, BOX) for name in names]
    assert found.layout == (
        "Stanford Cars, Kaggle's layout by classes: 3 images in car_data/car_data/train/ and "
        "car_data/car_data/test/Audi A5/, annotations anno_train.csv and anno_test.csv"
    )


def test_two_forms_at_once_are_told(cars, street, save):
    save(street(96, 64, BOX), cars / "car_ims" / "000001.jpg")
    savemat(cars / "cars_annos.mat", combined(["car_ims/000001.jpg"]))
    savemat(cars / "cars_train_annos.mat", annotations(["00001.jpg"]))
    found = photos(cars, "train")
    assert relative(found, cars) == ["cars_train/00001.jpg"]
    assert found.notes == (
        "left out, as no annotation names them: 1 photographs",
        "not used, though it may hold the data set too: car_ims/, devkit/cars_train_annos.mat",
    )


def test_folder_that_holds_most_of_the_photographs_is_taken(cars, street, save):
    (cars / "whole").mkdir()
    (cars / "cars_train").rename(cars / "whole" / "cars_train")
    save(street(96, 64, BOX), cars / "cars_train" / "00001.jpg")
    save(street(96, 64, BOX), cars / "whole" / "few" / "cars_train" / "00001.jpg")
    found = photos(cars, "train")
    names = ["whole/cars_train/00001.jpg", "whole/cars_train/00002.jpg"]
    assert relative(found, cars) == names
    assert found.notes == (
        "not used, though it may hold the data set too: cars_train/, whole/few/cars_train/",
    )


def test_same_annotations_twice_are_no_second_copy(cars):
    shutil.copy(cars / "devkit" / "cars_train_annos.mat", cars)
    assert photos(cars).notes == ()


def test_missing_and_surplus_photographs_are_counted(cars, street, save):
    (cars / "cars_train" / "00002.jpg").unlink()
    save(street(), cars / "cars_train" / "extra.jpg")
    found = photos(cars)
    names = ["cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"]
    assert relative(found, cars) == names
    assert found.notes == (
        "1 of 3 listed photographs are not there, first cars_train/00002.jpg",
        "left out, as no annotation names them: 1 photographs",
    )


def test_annotations_of_other_photographs_are_a_wrong_layout(cars):
    for n, file in enumerate(sorted((cars / "cars_train").iterdir())):
        file.rename(file.with_name(f"other{n}.jpg"))
    with pytest.raises(
        DataError, match=r"in cars_train/ none of .* that devkit/cars_train_annos.mat names"
    ):
        photos(cars)


def test_box_without_numbers_gives_a_photograph_that_will_be_reported(cars):
    content = annotations(["00001.jpg", "00002.jpg"])
    content["annotations"][0, 1]["bbox_x1"] = np.array([])
    savemat(cars / "devkit" / "cars_train_annos.mat", content)
    assert [photo.box for photo in photos(cars, "train")] == [BOX, NO_BOX]


@pytest.mark.parametrize(("split", "count"), [("train", 30), ("test", 20), ("both", 50)])
def test_parquet_files_have_their_split_in_their_names(tmp_path, write_table, split, count):
    for n in range(3):
        write_table(tmp_path / f"data/train-0000{n}-of-00003.parquet", [b""] * 10)
    write_table(tmp_path / "data/test-00000-of-00001.parquet", [b""] * 20)
    write_table(tmp_path / "data/contrast-00000-of-00001.parquet", [b""] * 20)
    found = photos(tmp_path, split)
    assert len(found) == count
    assert {photo.box for photo in found} == {None}
    assert found.layout.startswith(
        f"Stanford Cars, Parquet files of Hugging Face: {count} images without boxes, data/t"
    )
    (note,) = found.notes
    assert note.endswith("other splits are left out: data/contrast-00000-of-00001.parquet")


def test_parquet_files_without_a_split_are_both(tmp_path, write_table):
    write_table(tmp_path / "cars.parquet", [b""] * 3)
    assert len(photos(tmp_path)) == 3
    with pytest.raises(DataError, match=r"found cars.parquet, of which none is of the split test"):
        photos(tmp_path, "test")


def test_parquet_files_beside_another_form_are_not_used_and_told(cars):
    (cars / "data").mkdir()
    (cars / "data" / "train-0.parquet").touch()
    assert photos(cars).notes == ("not used, though it may hold the data set too: data/",)


def test_pipe_among_the_photographs_is_counted_as_unreadable(cars, cache):
    (cars / "cars_train" / "00002.jpg").unlink()
    os.mkfifo(cars / "cars_train" / "00002.jpg")
    with pytest.raises(DataError, match=r"00002.jpg \(Unusable: it is a pipe, a socket or a dev"):
        load_images("stanford-cars", cars)

"""CompCars surveillance-nature: two lists of files, and a colour for most of them."""

import os
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from training.data import DataError, load_images
from training.data.compcars_surveillance import colors, photos
from training.data.layout import Photo

TRAIN, TEST = ["1/d5dcefddcde927.jpg", "2/b0c1.jpg"], ["1/e7aa.jpg"]


@pytest.fixture
def sv_data(tmp_path, street, save):
    root = tmp_path / "sv_data"
    for n, name in enumerate(TRAIN + TEST):
        save(street(40, 40, road=(80 * n, 0, 0)), root / "image" / name, quality=95)
    (root / "train_surveillance.txt").write_text("\n".join(TRAIN) + "\n")
    (root / "test_surveillance.txt").write_text("\r\n".join(TEST) + "\r\n")
    rows = np.empty((3, 2), object)
    for n, (name, color) in enumerate(zip(TRAIN + TEST, (0, 9, -1), strict=True)):
        rows[n] = name, np.array([[color]], np.int16)
    savemat(root / "color_list.mat", {"color_list": rows})
    return root


@pytest.mark.parametrize(
    ("split", "names"), [("train", TRAIN), ("test", TEST), ("both", TRAIN + TEST)]
)
def test_split_is_what_its_list_says_in_its_order(sv_data, split, names):
    wanted = [Photo(sv_data / "image" / name, None) for name in names]
    assert photos(sv_data, split) == wanted
    assert photos(sv_data.parent, split) == wanted


def test_images_come_in_the_order_of_the_lists(sv_data):
    images = load_images("compcars-surveillance", sv_data)
    assert images.shape == (3, 32, 32, 3)
    np.testing.assert_allclose(images[:, 16, 16, 0], [0, 80, 160], atol=3)


def test_split_that_is_not_wanted_need_not_be_there(sv_data):
    (sv_data / "test_surveillance.txt").unlink()
    assert len(photos(sv_data, "train")) == 2
    with pytest.raises(DataError, match=r"(?s)found no test_surveillance.txt, but color_list.mat,"):
        photos(sv_data, "both")


def test_colours_are_names_and_unknown_ones_are_left_out(sv_data):
    assert colors(sv_data) == {TRAIN[0]: "black", TRAIN[1]: "silver"}


def test_colours_of_one_photograph_are_read_too(sv_data):
    row = np.empty((1, 2), object)
    row[0] = TEST[0], np.array([[2]])
    savemat(sv_data / "color_list.mat", {"color_list": row})
    assert colors(sv_data) == {TEST[0]: "red"}


def test_colours_of_files_with_slashes_of_windows_are_found_by_their_names(sv_data):
    row = np.empty((1, 2), object)
    row[0] = TEST[0].replace("/", "\\"), np.array([[2]])
    savemat(sv_data / "color_list.mat", {"color_list": row})
    assert colors(sv_data) == {TEST[0]: "red"}


def test_colours_in_another_shape_are_refused(sv_data):
    savemat(sv_data / "color_list.mat", {"color_list": np.arange(6)})
    with pytest.raises(DataError, match=r"color_list.mat: wanted rows of file and number"):
        colors(sv_data)


@pytest.mark.parametrize("code", ["utf-8-sig", "utf-16"])
def test_lists_of_windows_name_the_same_photographs(sv_data, code):
    wanted = photos(sv_data)
    for file in ("train_surveillance.txt", "test_surveillance.txt"):
        names = (sv_data / file).read_text().split()
        text = "".join(name.replace("/", "\\") + "\r\n" for name in names)
        (sv_data / file).write_bytes(text.encode(code))
    assert photos(sv_data) == wanted


def test_copy_in_folders_in_folders_with_other_cases_and_endings_is_found(sv_data, tmp_path):
    root = tmp_path / "CompCars archive" / "SV_DATA" / "SV_DATA"
    root.parent.mkdir(parents=True)
    sv_data.rename(root)
    (root / "image").rename(root / "Image")
    (root / "Image" / "1" / "e7aa.jpg").rename(root / "Image" / "1" / "E7AA.JPG")
    (root / "Image" / "2" / "b0c1.jpg").rename(root / "Image" / "2" / "b0c1.jpeg")
    (root / "test_surveillance.txt").rename(root / "Test_Surveillance.TXT")
    found = photos(tmp_path)
    names = ["1/d5dcefddcde927.jpg", "2/b0c1.jpeg", "1/E7AA.JPG"]
    assert found == [Photo(root / "Image" / name) for name in names]
    assert found.layout == (
        "CompCars, surveillance-nature: 3 images listed in train_surveillance.txt and "
        "test_surveillance.txt, folder CompCars archive/SV_DATA/SV_DATA/Image/"
    )
    assert found.notes == ()


def test_second_copy_is_told_and_not_used(sv_data, tmp_path):
    shutil.copytree(sv_data, tmp_path / "x_copy")
    found = photos(tmp_path)
    assert found == photos(sv_data)
    assert found.notes == ("not used, though it may hold the data set too: x_copy/",)


def test_listed_photographs_that_are_not_there_are_counted(sv_data, tmp_path):
    (sv_data / "image" / "2" / "b0c1.jpg").unlink()
    found = photos(tmp_path)
    assert [photo.file.relative_to(sv_data / "image").as_posix() for photo in found] == TRAIN + TEST
    assert found.notes == (
        "1 of 3 listed photographs are not there, first sv_data/image/2/b0c1.jpg",
    )


def test_list_with_paths_from_elsewhere_names_no_file_outside(sv_data, tmp_path):
    (sv_data / "train_surveillance.txt").write_text("/1/d5dcefddcde927.jpg\n../2/b0c1.jpg\n")
    assert photos(sv_data, "train") == [Photo(sv_data / "image" / name) for name in TRAIN]


def test_list_that_is_a_pipe_is_told_and_not_waited_for(sv_data):
    (sv_data / "train_surveillance.txt").unlink()
    os.mkfifo(sv_data / "train_surveillance.txt")
    with pytest.raises(DataError, match=r"found no train_surveillance.txt, but"):
        photos(sv_data, "train")

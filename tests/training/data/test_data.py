"""Every data set is loaded by its name, with the settings that mean something to it."""

import inspect
import json

import numpy as np
import pytest

from training.config import DEFAULTS
from training.data import SOURCES, DataError, layout_of, load_images


def test_unknown_data_set_is_answered_with_what_there_is():
    with pytest.raises(DataError, match="no data set is called 'boats'; there is: cifar10-cars"):
        load_images("boats")


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "cifar10-cars"])
def test_data_set_without_a_path_is_answered_with_its_layout(name):
    with pytest.raises(DataError, match="--data-path") as told:
        load_images(name)
    assert SOURCES[name].layout in str(told.value)


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "cifar10-cars"])
def test_wrong_path_is_answered_with_the_layout_and_what_is_there(name, tmp_path):
    (tmp_path / "notes.txt").touch()
    for path, found in ((tmp_path, "notes.txt"), (tmp_path / "no", "no such folder")):
        with pytest.raises(DataError) as told:
            load_images(name, path)
        assert f"--data-path {path}: expected\n{SOURCES[name].layout}\nfound " in str(told.value)
        assert found in str(told.value)


def test_list_of_files_that_are_elsewhere_is_a_wrong_layout(tmp_path):
    (tmp_path / "image").mkdir()
    for split in ("train", "test"):
        (tmp_path / f"{split}_surveillance.txt").write_text("1/a.jpg\n")
    with pytest.raises(DataError, match=r"(?s)expected.*found lists, and no .*image/1/a.jpg"):
        load_images("compcars-surveillance", tmp_path)
    for split in ("train", "test"):
        (tmp_path / f"{split}_surveillance.txt").write_text("")
    with pytest.raises(DataError, match="found lists that name nothing"):
        load_images("compcars-surveillance", tmp_path)


def test_full_disk_is_told_in_a_sentence(tmp_path, street, save, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.data.photographs.cache.write", full)
    save(street(), tmp_path / "a.png")
    with pytest.raises(DataError, match=r"folder: .*No space left on device"):
        load_images("folder", tmp_path)


def test_defaults_are_those_of_the_command_line():
    parameters = inspect.signature(load_images).parameters
    for name in ("size", "crop_margin", "split", "views"):
        assert parameters[name].default == DEFAULTS[name]


def test_photographs_of_32_pixels_are_enlarged(photographs, capsys, monkeypatch):
    monkeypatch.setattr("training.data.cifar10.load_cifar10_cars", lambda path: photographs)
    small = load_images("cifar10-cars", limit=4)
    large = load_images("cifar10-cars", limit=4, size=64)
    assert large.shape == (4, 64, 64, 3)
    halved = large.reshape(4, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(halved - small).mean() < 4
    assert "cifar10-cars has 32x32 pixels: 64x64 adds no detail" in capsys.readouterr().err


def test_layout_is_told_and_noted_from_the_cache_too(tmp_path, street, save, capsys, cache):
    save(street(), tmp_path / "cars" / "a.png")
    for _ in range(2):
        images = load_images("folder", tmp_path / "cars")
        assert capsys.readouterr().err.splitlines()[0] == "folder of images: 1 images"
        assert layout_of(images) == "folder of images: 1 images"
    (sidecar,) = (file for file in cache.glob("*.json") if "report" not in file.name)
    facts = json.loads(sidecar.read_text())
    del facts["layout"]  # as in a cache of an older version
    sidecar.write_text(json.dumps(facts))
    assert layout_of(load_images("folder", tmp_path / "cars")) == "folder of images: 1 images"
    assert layout_of(np.zeros((1, 32, 32, 3), np.uint8)) is None


def test_what_is_missing_is_told_after_the_layout(tmp_path, street, save, capsys):
    for n in range(100):
        save(street(32, 32), tmp_path / "image" / f"{n:03}.png")
    names = "".join(f"{n:03}.jpg\n" for n in range(101))
    (tmp_path / "train_surveillance.txt").write_text(names)
    assert len(load_images("compcars-surveillance", tmp_path, split="train")) == 100
    layout, note, *_, last = capsys.readouterr().err.splitlines()
    assert layout.startswith("CompCars, surveillance-nature: 101 images listed in train_")
    assert note == (
        "compcars-surveillance: 1 of 101 listed photographs are not there, first image/100.jpg"
    )
    assert "100 photographs, 1 skipped" in last

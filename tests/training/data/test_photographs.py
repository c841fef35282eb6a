"""Files become images once; the second time, and after damage, the cache does what it should."""

import json
import os

import numpy as np
import pytest

from training.data import DataError, digest, load_images, photographs


@pytest.fixture
def folder(tmp_path, street, save):
    root = tmp_path / "cars"
    for n in range(4):
        save(street(50, 40, road=(60 * n, 0, 0)), root / f"{n}.png")
    return root


@pytest.fixture
def prepared(monkeypatch):
    """How many photographs were decoded."""
    counted = []
    prepare_all = photographs.prepare_all

    def count(photos, *settings):
        counted.extend(photos)
        return prepare_all(photos, *settings)

    monkeypatch.setattr(photographs, "prepare_all", count)
    return counted


@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_have_the_size_and_the_order_of_the_names(folder, size):
    images = load_images("folder", folder, size=size)
    assert images.shape == (4, size, size, 3)
    assert images.dtype == np.uint8
    assert list(images[:, 0, 0, 0]) == [0, 60, 120, 180]


def test_second_time_comes_from_the_cache(folder, prepared):
    first = load_images("folder", folder)
    second = load_images("folder", folder)
    assert len(prepared) == 4
    assert digest(second) == digest(first)
    assert np.array_equal(second, first)


def test_exchanged_file_is_prepared_anew(folder, prepared, street, save):
    load_images("folder", folder)
    save(street(50, 40, road=(0, 250, 0)), folder / "2.png")
    os.utime(folder / "2.png", ns=(0, 0))
    assert load_images("folder", folder)[2, 0, 0, 1] == 250
    assert len(prepared) == 8


def test_altered_cache_is_prepared_anew(folder, prepared, cache):
    wanted = digest(load_images("folder", folder))
    (file,) = cache.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-5])
    assert digest(load_images("folder", folder)) == wanted
    assert len(prepared) == 8
    load_images("folder", folder)
    assert len(prepared) == 8


def test_limit_prepares_no_more_than_it_needs(folder, prepared):
    assert len(load_images("folder", folder, 2)) == 2
    assert len(prepared) == 2
    assert len(load_images("folder", folder)) == 4


def test_unreadable_file_in_a_hundred_is_left_out_named_and_told(
    tmp_path, cache, capsys, street, save
):
    root = tmp_path / "many"
    for n in range(100):
        save(street(32, 32, road=(n, n, n)), root / "sub" / f"{n:02}.png")
    (root / "sub" / "50.png").write_bytes(b"\x89PNG")
    images = load_images("folder", root)
    assert list(images[:, 0, 0, 0]) == [n for n in range(100) if n != 50]
    (report,) = cache.glob("*.report.json")
    (skipped,) = json.loads(report.read_text())["skipped"]["files"]
    assert skipped["file"] == "sub/50.png"
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"folder: 99 photographs, 1 skipped; report: {report}"


def test_too_many_unreadable_files_stop_with_an_error_and_no_cache(folder, cache):
    (folder / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of the first 2 files cannot be read, more than 1 %"):
        load_images("folder", folder)
    assert [file.name.partition(".")[2] for file in cache.iterdir()] == ["report.json"]

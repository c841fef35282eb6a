"""Images in Parquet files, as Hugging Face has them, are photographs like any other."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from training.data import load_images, parquet
from training.data.folder import photos
from training.data.layout import DataError
from training.data.parquet import image, split_of


def jpeg(grey):
    file = io.BytesIO()
    Image.new("RGB", (48, 40), (grey, grey, grey)).save(file, "jpeg")
    return file.getvalue()


def greys(images):
    return images[:, 16, 16, 0].tolist()


@pytest.mark.parametrize("plain", [False, True])
def test_rows_of_all_files_are_images_in_their_order(tmp_path, write_table, plain, capsys):
    root = tmp_path / "set"
    for n in range(3):
        files = [jpeg(80 * n + 3 * k) for k in range(20)]
        write_table(root / f"data/train-0000{n}-of-00003.parquet", files, plain=plain, rows=7)
    images = load_images("folder", root)
    np.testing.assert_allclose(
        greys(images), [80 * n + 3 * k for n in range(3) for k in range(20)], atol=1
    )
    assert capsys.readouterr().err.splitlines()[0] == (
        "folder of images, Parquet files of Hugging Face: 60 images without boxes, "
        "data/train-*.parquet"
    )


def test_images_are_the_same_from_several_processes(tmp_path, write_table, monkeypatch):
    files = [jpeg(3 * n) for n in range(80)]
    write_table(tmp_path / "set" / "a.parquet", files, rows=30)
    monkeypatch.setattr("training.data.workers.processors", lambda: 2)
    images = load_images("folder", tmp_path / "set")
    np.testing.assert_allclose(greys(images), [3 * n for n in range(80)], atol=1)


@pytest.mark.parametrize("rows", [1, 16, 50, 1000])
def test_any_row_is_read_at_any_time(tmp_path, write_table, rows):
    file = write_table(tmp_path / "a.parquet", [b"%d" % n for n in range(100)], rows=rows)
    for row in (0, 99, 98, 0, 17, 16, 15, 50, 49, 51):
        assert image(file, row) == b"%d" % row


def test_rows_without_an_image_are_skipped_and_named(tmp_path, write_table, cache):
    files = [jpeg(n) for n in range(101)]
    files[7] = None
    write_table(tmp_path / "set" / "a.parquet", files)
    assert len(load_images("folder", tmp_path / "set")) == 100
    (report,) = cache.glob("*.report.json")
    assert json.loads(report.read_text())["skipped"]["files"] == [
        {"file": "a.parquet, row 7", "reason": "DataError: the row holds no image"}
    ]


def test_column_may_have_any_name_if_it_is_the_only_one(tmp_path, write_table):
    write_table(tmp_path / "a.parquet", [jpeg(9)], column="photo", label=[1], caption=["a car"])
    assert len(photos(tmp_path)) == 1


def test_several_columns_of_images_and_none_called_so_are_told(tmp_path, write_table):
    write_table(tmp_path / "a.parquet", [b""], column="before", after=[b""], label=[1])
    with pytest.raises(DataError, match=r"one called image or img; found before, after, label$"):
        photos(tmp_path)
    write_table(tmp_path / "a.parquet", [b""], column="image", mask=[b""])
    assert len(photos(tmp_path)) == 1


def test_table_without_images_is_told_by_its_columns(tmp_path, write_table):
    pyarrow = pytest.importorskip("pyarrow")
    pyarrow.parquet.write_table(pyarrow.table({"file_name": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"a.parquet: wanted one column of images.* found file_name"
    ):
        photos(tmp_path)


def test_files_are_images_where_there_are_both(tmp_path, write_table, street, save):
    write_table(tmp_path / "metadata.parquet", [jpeg(9)])
    save(street(), tmp_path / "a.jpg")
    assert [photo.file.name for photo in photos(tmp_path)] == ["a.jpg"]


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\n", b"", b"PAR1"])
def test_file_that_is_no_parquet_is_told_in_a_sentence(tmp_path, content):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"a.parquet(: not a| is no) Parquet file") as told:
        photos(tmp_path)
    assert "\n" not in str(told.value)


def test_pyarrow_that_is_not_installed_is_told_with_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pyarrow, which is not .* here; `pip install pyarrow`"):
        photos(tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00003.parquet", "train"),
        ("data/train-00000-of-00001-6bbda5c243c74bd4.parquet", "train"),
        ("default/test/0000.parquet", "test"),
        ("cars_validation.parquet", "validation"),
        ("train/eval-0.parquet", "test"),
        ("data/contrast-00000-of-00001.parquet", None),
        ("trained/0000.parquet", None),
    ],
)
def test_split_is_the_word_nearest_to_the_end_of_the_name(name, split):
    assert split_of(name) == split


def test_exchanged_table_is_prepared_anew(tmp_path, write_table):
    write_table(tmp_path / "set" / "a.parquet", [jpeg(10), jpeg(20)])
    assert greys(load_images("folder", tmp_path / "set")) == [10, 20]
    write_table(tmp_path / "set" / "a.parquet", [jpeg(200), jpeg(100), jpeg(50)])
    assert greys(load_images("folder", tmp_path / "set")) == [200, 100, 50]


def test_large_row_group_is_told(tmp_path, write_table, monkeypatch):
    write_table(tmp_path / "a.parquet", [bytes(1_000_000)])
    assert photos(tmp_path).notes == ()
    monkeypatch.setattr(parquet, "LARGE", 900_000)
    (note,) = photos(tmp_path).notes
    assert note.startswith("a row group has 1 MB, and each process holds about twice as much")

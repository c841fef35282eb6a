"""Shards are read by others: tarfile, NumPy, pyarrow; a tar is the server's own."""

import io
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from carfront.datasets.formats import format_of
from carfront.datasets.shard_file import ShardFile, sha256_of
from server.codecs.archive import TAR_OF_PNGS

SHAPES = [(32, 32, 3), (5, 7, 1), (300, 256, 4)]
SEEDS = range(2**64 - 6, 2**64)


def shard_of(name, path, images):
    """Write images in two blocks; return the file's SHA-256 and size as they were counted."""
    form = format_of(name)
    with ShardFile(path) as file:
        writer = form.writer(file, len(images), images.shape[1:])
        for part in (slice(0, 4), slice(4, None)):
            writer.add(form.encode(images[part], SEEDS[part]))
        writer.close()
    return file.sha256, file.size


@pytest.fixture(params=SHAPES, ids=str)
def images(request):
    return np.random.default_rng(0).integers(0, 256, (len(SEEDS), *request.param), np.uint8)


def test_a_tar_is_the_bytes_that_the_server_sends(images, tmp_path):
    shard_of("tar", tmp_path / "x.tar", images)
    assert (tmp_path / "x.tar").read_bytes() == TAR_OF_PNGS.whole(images, SEEDS)


def test_a_tar_has_a_png_of_each_seed(images, tmp_path):
    shard_of("tar", tmp_path / "x.tar", images)
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert tar.getnames() == [f"{seed}.png" for seed in SEEDS]
        png = tar.extractfile(f"{SEEDS[5]}.png").read()
    read = np.asarray(Image.open(io.BytesIO(png)))
    np.testing.assert_array_equal(read.reshape(images[5].shape), images[5])


def test_npy_is_read_by_numpy(images, tmp_path):
    shard_of("npy", tmp_path / "x.npy", images)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), images)


def test_parquet_has_seeds_and_pngs(images, tmp_path):
    shard_of("parquet", tmp_path / "x.parquet", images)
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column("seed").to_pylist() == [*SEEDS]
    row = table.column("image")[5].as_py()
    read = np.asarray(Image.open(io.BytesIO(row["bytes"])))
    np.testing.assert_array_equal(read.reshape(images[5].shape), images[5])
    assert row["path"] == f"{SEEDS[5]}.png"


@pytest.mark.parametrize("name", ["tar", "npy", "parquet"])
def test_what_is_counted_is_what_is_written(images, tmp_path, name):
    sha256, size = shard_of(name, tmp_path / "x", images)
    assert (sha256, size) == (sha256_of(tmp_path / "x"), (tmp_path / "x").stat().st_size)
    if known := format_of(name).shard_bytes:
        assert size == known(len(images), images.shape[1:])

"""Arrays, tars and JSON hold the very images, each under its seed."""

import base64
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from server.codecs.archive import (
    JSON,
    NPY,
    RAW,
    TAR_OF_JPEGS,
    TAR_OF_PNGS,
    npy_bytes,
    npy_size,
)
from server.codecs.formats import FORMATS
from server.codecs.pillow import jpeg_bytes
from server.codecs.png import encode_png

SEEDS = (2**64 - 1, 7, 0)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("n", [1, 3, 64])
def test_npy_loads_as_the_same_array(n):
    images = noise(n, 32, 32, 3)
    loaded = np.load(io.BytesIO(npy_bytes(images)))
    assert loaded.dtype == np.uint8
    assert (loaded == images).all()
    assert npy_size(images.shape) == len(npy_bytes(images))


@pytest.mark.parametrize("encode", [npy_bytes, RAW.whole])
def test_array_of_a_view_is_packed(encode):
    images = noise(4, 8, 8, 3)[::2]
    assert encode(images) == encode(images.copy())
    assert (
        np.frombuffer(encode(images)[-images.size :], np.uint8).tolist() == images.ravel().tolist()
    )


@pytest.mark.parametrize(
    ("encode", "suffix", "encode_one"),
    [
        (TAR_OF_PNGS.whole, "png", encode_png),
        (TAR_OF_JPEGS.whole, "jpg", lambda x: jpeg_bytes(x[None])),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tar_holds_a_file_of_each_image_by_the_name_of_its_seed(
    encode, suffix, encode_one, channels
):
    images = noise(3, 20, 24, channels)
    with tarfile.open(fileobj=io.BytesIO(encode(images, SEEDS)), mode="r:") as tar:
        files = tar.getmembers()
        assert [x.name for x in files] == [f"{seed}.{suffix}" for seed in SEEDS]
        assert {(x.mtime, x.mode, x.uid, x.uname) for x in files} == {(315532800, 0o644, 0, "")}
        contents = [tar.extractfile(x).read() for x in files]
    assert contents == [encode_one(x) for x in images]


def test_tar_is_the_same_bytes_each_time():
    images = noise(3, 4, 4, 3)
    assert TAR_OF_PNGS.whole(images, SEEDS) == TAR_OF_PNGS.whole(images.copy(), SEEDS)
    assert len(TAR_OF_PNGS.whole(images, SEEDS)) % 512 == 0


def test_json_holds_pngs_in_base64_beside_their_seeds():
    images = noise(3, 4, 4, 4)
    told = json.loads(JSON.whole(images, SEEDS))
    assert (told["format"], told["seeds"]) == ("png", list(SEEDS))
    for image, text in zip(images, told["images"], strict=True):
        png = base64.b64decode(text, validate=True)
        assert (np.asarray(Image.open(io.BytesIO(png))) == image).all()


@pytest.mark.parametrize("parts", [NPY, RAW, JSON, TAR_OF_PNGS, TAR_OF_JPEGS])
@pytest.mark.parametrize("seeds", [[2**64 - 1, 7, 0, 7, 12], range(9, 14), None])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_parts_are_together_what_the_whole_is(parts, seeds, channels):
    images = noise(5, 6, 5, channels)
    written = parts.head(images.shape, seeds)
    for start, stop in ((0, 2), (2, 3), (3, 5)):
        own = None if seeds is None else seeds[start:stop]
        written += parts.between * (start > 0) + parts.images(images[start:stop], own, start)
    written += parts.tail
    assert written == parts.whole(images, seeds)
    assert parts.size(images.shape, seeds) in (len(written), None)
    assert (parts.size(images.shape, seeds) is None) == (parts is TAR_OF_JPEGS)


@pytest.mark.parametrize("name", ["npy", "raw"])
def test_array_in_parts_is_the_format_of_its_name(name):
    images = noise(5, 6, 5, 3)
    assert FORMATS[name].encode(images) == FORMATS[name].parts.whole(images)

"""Photographs as they come: small files in every format, and data sets in their real layouts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RED, GREEN, BLUE, GREY = (250, 0, 0), (0, 250, 0), (0, 0, 250), (120, 120, 120)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache of one test alone."""
    monkeypatch.setenv("CARFRONT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def street():
    """Draw a street with a car in it: a picture in one colour, a box in it in another."""

    def draw(width=96, height=64, box=None, car=RED, road=BLUE):
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = road
        if box:
            left, top, right, bottom = box
            pixels[top:bottom, left:right] = car
        return Image.fromarray(pixels)

    return draw


@pytest.fixture
def save():
    """Save a picture where the folders for it may not be there yet."""

    def write(image: Image.Image, path: Path, **options) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    return write


@pytest.fixture
def shows_car():
    """Whether an image is all car: red to its edges, which a neighbour may colour a little."""

    def check(image: np.ndarray) -> bool:
        return bool((image[2:-2, 2:-2, 0] > 200).all() and (image[..., 0] > 90).all())

    return check


@pytest.fixture
def write_table():
    """Write image files into a Parquet file as Hugging Face does, with more columns by name."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write(path: Path, files: list, column="image", plain=False, rows=100, **more) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = files
        if not plain:
            values = [{"bytes": content, "path": f"{n}.jpg"} for n, content in enumerate(files)]
        kind = pyarrow.binary()
        if not plain:
            kind = pyarrow.struct([("bytes", kind), ("path", pyarrow.string())])
        columns = {column: pyarrow.array(values, kind), **more}
        parquet.write_table(pyarrow.table(columns), path, row_group_size=rows)
        return path

    return write

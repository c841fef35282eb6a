"""The measurement measures what it says."""

import pytest
from PIL import Image

from training.data import measure


@pytest.fixture(autouse=True)
def cars(photographs, monkeypatch):
    monkeypatch.setattr("training.data.cifar10.load_cifar10_cars", lambda path: photographs)


def test_photographs_have_a_megapixel_and_compress_like_photographs(tmp_path):
    size = measure.write_photographs(tmp_path, 2)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    for file in files:
        with Image.open(file) as image:
            assert 0.95e6 < image.width * image.height < 1.05e6
    assert 1 < 8 * size / len(files) / 1e6 < 4


def test_rate_is_told_for_every_size(capsys):
    measure.main(["--photographs", "2", "--size", "32", "64"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["size 32", "size 64"]

"""Photographs restored on this machine, with the default bundle."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inversion.losses import LOSSES
from inversion.photograph import Photograph, to_bytes
from inversion.search import Settings
from training.inversion.generator import Generator
from training.inversion.measure import masks, nearest, off, picture
from training.invert import invert, main

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "models" / "cars-dcgan" / "2"


@pytest.fixture(scope="module")
def generator():
    return Generator(BUNDLE)


@pytest.fixture(scope="module")
def truth(generator):
    latents = np.random.default_rng(7).standard_normal((1, 100)).astype(np.float32)
    return to_bytes(generator.draw(latents)[0])


def test_image_of_the_generator_comes_near_in_a_few_steps(generator, truth):
    photograph = Photograph(truth, np.ones((32, 32, 1), np.float32))
    first, last = (
        invert(generator, LOSSES["pyramid"](photograph), Settings(steps=steps, restarts=2))
        for steps in (1, 40)
    )
    assert photograph.distance(last.image) < photograph.distance(first.image) / 1.5


def test_command_writes_image_filled_photograph_and_latents(tmp_path, truth, generator, capsys):
    photo, mask, out = tmp_path / "car.png", tmp_path / "mask.png", tmp_path / "out"
    Image.fromarray(truth).resize((96, 96), Image.Resampling.NEAREST).save(photo)
    hidden = Image.new("L", (96, 96), 0)
    hidden.paste(255, (48, 0, 96, 96))
    hidden.save(mask)
    command = [str(photo), "--bundle", str(BUNDLE), "--mask", str(mask), "-o", str(out)]
    assert main([*command, "--steps", "5", "--restarts", "2"]) == 0
    assert "grey levels off what is seen, 5 steps" in capsys.readouterr().out
    latents = np.load(out / "car.npy")
    image = np.asarray(Image.open(out / "car.png"))
    np.testing.assert_allclose(image, to_bytes(generator.draw(latents[None])[0]), atol=1)
    filled = np.asarray(Image.open(out / "car.filled.png"))
    assert off(filled[:, :14], truth[:, :14], np.ones((32, 14, 1))) < 6
    np.testing.assert_array_equal(filled[:, 19:], image[:, 19:])


def test_faults_are_told_in_a_sentence(tmp_path, capsys):
    shutil.copytree(ROOT / "models" / "cars-dcgan" / "1", tmp_path / "1")
    (tmp_path / "notes.png").write_text("no picture")
    for arguments, told in (
        ([str(tmp_path / "notes.png"), "--bundle", str(BUNDLE)], "photo is 10 bytes; wanted"),
        ([str(tmp_path / "none.png"), "--bundle", str(BUNDLE)], "none.png"),
        (["x.png", "--bundle", str(tmp_path / "1")], "has no gradient; add it: python -m export"),
        (["x.png", "--bundle", str(tmp_path)], "is no bundle"),
    ):
        assert main([*arguments, "-o", str(tmp_path / "out")]) == 1
        assert told in capsys.readouterr().err


def test_nearest_photograph_is_so_where_the_photograph_is_seen():
    photographs = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    ways = masks(32)
    assert {name: int((shown == 0).sum()) for name, shown in ways.items()} == {
        "whole": 0,
        "half hidden": 512,
        "a hole": 144,
    }
    other = photographs[3].copy()
    other[:, 16:] = 0
    found = nearest(photographs, Photograph(other, ways["half hidden"]))
    np.testing.assert_array_equal(found, photographs[3])
    assert picture([list(photographs), list(photographs)]).size == (2 * 168, 2 * 66)

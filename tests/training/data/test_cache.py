"""A cache is used when it is whole and of the same files, and noticed when it is not."""

import hashlib
import json
import os
import time

import numpy as np
import pytest

from training.data import cache as kept
from training.data.layout import Photo

KEY = "k" * 64


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cars.npy"


def images(count=5, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def write(path, content):
    kept.write(path, {"key": KEY}, content.shape[1], iter(content))


def test_what_was_written_is_read_back_mapped(path):
    write(path, images())
    found = kept.load(path, KEY)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, images())
    np.testing.assert_array_equal(np.load(path), images())


def test_nothing_there_is_told_by_none(path, capsys):
    assert kept.load(path, KEY) is None
    assert capsys.readouterr().err == ""


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def change_a_pixel(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_the_header(path):
    path.write_bytes(path.read_bytes().replace(b"(5, 32, 32, 3)", b"(5, 32, 3, 32)", 1))


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


def remove_the_sidecar(path):
    path.with_suffix(".json").unlink()


def cut_the_sidecar_short(path):
    sidecar = path.with_suffix(".json")
    sidecar.write_text(sidecar.read_text()[:40])


def replace_the_sidecar(path):
    path.with_suffix(".json").write_text("[]")


DAMAGE = [
    *(cut_short, change_a_pixel, change_the_header, empty, remove),
    *(remove_the_sidecar, cut_the_sidecar_short, replace_the_sidecar),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_cache_is_noticed(path, damage, capsys):
    write(path, images())
    damage(path)
    assert kept.load(path, KEY) is None
    assert f"{path} is half-written or altered" in capsys.readouterr().err


def test_cache_of_another_key_is_not_used(path):
    write(path, images())
    assert kept.load(path, "x" * 64) is None


def test_writing_that_fails_leaves_what_was_there(path):
    write(path, images())

    def broken():
        yield images()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.write(path, {"key": KEY}, 32, broken())
    assert sorted(file.name for file in path.parent.glob("*.*")) == ["cars.json", "cars.npy"]
    np.testing.assert_array_equal(kept.load(path, KEY), images())


def test_kill_between_image_file_and_sidecar_is_noticed(path):
    write(path, images(seed=1))
    old = path.with_suffix(".json").read_text()
    write(path, images(seed=2))
    path.with_suffix(".json").write_text(old)
    assert kept.load(path, KEY) is None


def test_remains_of_a_killed_process_are_removed_but_not_another_ones_work(path):
    old, new = path.with_name(".a.npy.1.partial"), path.with_name(".b.npy.2.partial")
    for file in (old, new):
        file.touch()
    long_ago = time.time() - 2 * kept.ABANDONED_S
    os.utime(old, (long_ago, long_ago))
    write(path, images())
    assert not old.exists()
    assert new.exists()


def test_digest_is_that_of_the_pixels(path):
    write(path, images())
    wanted = hashlib.sha256(images().tobytes()).hexdigest()
    assert kept.digest(images()) == wanted
    assert kept.digest(kept.load(path, KEY)) == wanted


def test_digest_of_a_checked_cache_is_not_computed_again(path, monkeypatch):
    write(path, images())
    found, wanted = kept.load(path, KEY), kept.digest(images())
    monkeypatch.setattr(kept.hashlib, "sha256", None)
    assert kept.digest(found) == wanted


@pytest.mark.parametrize("part", [slice(0, 3), slice(None, None, -1), slice(1, None)])
def test_digest_of_a_part_is_its_own(path, part):
    write(path, images())
    found = kept.load(path, KEY)
    assert kept.digest(found[part]) == kept.digest(images()[part])


def test_digest_of_mapped_images_from_elsewhere_is_computed(tmp_path):
    np.save(tmp_path / "other.npy", images())
    mapped = np.load(tmp_path / "other.npy", mmap_mode="r")
    assert kept.digest(mapped) == kept.digest(images())


def test_key_stands_for_files_boxes_and_settings(tmp_path):
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for file in files:
        file.write_bytes(b"1234")
        os.utime(file, ns=(0, 10**9))
    photos = [Photo(file, (0, 0, 9, 9)) for file in files]
    settings = {"size": 32, "crop_margin": 0.05}

    def key(source="s", photos=photos, settings=settings):
        return kept.key(source, tmp_path, photos, settings)

    first = key()
    assert key() == first
    others = [
        key(source="t"),
        key(photos=photos[::-1]),
        key(photos=photos[:1]),
        key(photos=[photos[0], Photo(files[1])]),
        key(settings=settings | {"size": 64}),
    ]
    os.utime(files[1], ns=(0, 2 * 10**9))
    others.append(key())
    files[1].write_bytes(b"12345")
    os.utime(files[1], ns=(0, 10**9))
    others.append(key())
    files[1].unlink()
    others.append(key())
    assert len({first, *others}) == 9


def test_key_does_not_depend_on_where_the_folder_lies(tmp_path):
    keys = set()
    for root in (tmp_path / "one", tmp_path / "two"):
        root.mkdir()
        (root / "a.jpg").touch()
        os.utime(root / "a.jpg", ns=(0, 0))
        keys.add(kept.key("s", root, [Photo(root / "a.jpg")], {"size": 32}))
    assert len(keys) == 1


def test_sidecar_says_what_the_file_is(path):
    write(path, images())
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts == {"key": KEY, "shape": [5, 32, 32, 3], "sha256": kept.digest(images())}

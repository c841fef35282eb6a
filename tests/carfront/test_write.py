"""A data set is written whole, and goes on after whatever stopped it."""

import json
import tarfile

import numpy as np
import pytest

from carfront.datasets.folder_store import FolderStore
from carfront.datasets.index import INDEX, Lineage, read_index
from carfront.datasets.seeds import BLOCK
from carfront.datasets.shard_file import ShardFile
from carfront.datasets.single_tar import SingleTar
from carfront.datasets.store import opened
from carfront.datasets.verify import verify
from carfront.datasets.write import new_index, resumed, write
from carfront.errors import DataSetError, Different, Unavailable
from tests.carfront.fakes import FakeSource, images_of

SEEDS = range(100, 100 + 10 * BLOCK + 7)


def generate(folder, source, seeds=SEEDS, form="npy", images=3 * BLOCK):
    """Bring the data set in ``folder`` to its end, in shards of ``images``."""
    store = FolderStore(folder)
    index = new_index(source, seeds, form, 2)
    index.images_per_shard = images
    with opened(store):
        write(resumed(index, store), source, store, lambda images: None)
    return index


def stopping_at(block, error):
    """Return a source that raises ``error`` when it is to draw the block of that number."""

    def before(seeds):
        if seeds.start == SEEDS.start + block * BLOCK:
            raise error

    return FakeSource(before)


def files(folder):
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def test_every_image_is_there_once_in_the_order_of_seeds(tmp_path):
    index = generate(tmp_path, FakeSource())
    assert index.is_complete
    parts = [np.load(tmp_path / name) for name in sorted(index.shards)]
    assert [len(part) for part in parts] == [768, 768, 768, 263]
    np.testing.assert_array_equal(np.concatenate(parts), images_of(SEEDS))


def test_index_tells_shards_digests_and_lineage(tmp_path):
    generate(tmp_path, FakeSource())
    facts = json.loads((tmp_path / INDEX).read_text())
    assert facts["complete"] is True
    assert facts["images"] == len(SEEDS)
    assert facts["lineage"]["bundle"] == "00ff"
    assert len(facts["shards"][0]["sha256"]) == 64
    assert sorted(files(tmp_path)) == sorted([INDEX, *(x["name"] for x in facts["shards"])])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Unavailable(503, "full")])
@pytest.mark.parametrize("block", [0, 4, 10])
def test_what_stops_leaves_whole_files_and_the_next_run_draws_the_rest(tmp_path, error, block):
    stopped = stopping_at(block, error)
    with pytest.raises(type(error)):
        generate(tmp_path, stopped)
    assert stopped.closed
    index = read_index((tmp_path / INDEX).read_bytes(), "here")
    assert set(files(tmp_path)) == {INDEX, *index.shards}
    assert not index.is_complete
    before = files(tmp_path)
    source = FakeSource()
    generate(tmp_path, source)
    whole = 3 * BLOCK * len(index.shards)
    assert sorted(source.drawn) == [*SEEDS[whole:]]
    assert {name: files(tmp_path)[name] for name in index.shards}.items() <= before.items()
    verify(read_index((tmp_path / INDEX).read_bytes(), ""), FolderStore(tmp_path),
           FakeSource(), None, 0, lambda images: None)  # fmt: skip


def test_a_shard_that_was_published_just_before_a_kill_is_not_drawn_again(tmp_path):
    generate(tmp_path, FakeSource())
    facts = json.loads((tmp_path / INDEX).read_text())
    facts["shards"] = facts["shards"][:1] + facts["shards"][2:]
    (tmp_path / INDEX).write_text(json.dumps(facts))
    source = FakeSource()
    index = generate(tmp_path, source)
    assert source.drawn == []
    assert index.is_complete


def test_drafts_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / ".shard-000099.npy.draft").write_bytes(b"half")
    generate(tmp_path, FakeSource())
    assert not [name for name in files(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": range(5)}, "seeds is 100:2667 there and 0:5 here"),
        ({"form": "tar"}, "format is npy there and tar here"),
        ({"images": BLOCK}, "images_per_shard is 768 there and 256 here"),
        ({"source": FakeSource(lineage=Lineage("tiny", "2", "cpu/f32", 1, "00ff"))}, "lineage is"),
    ],
)
def test_another_data_set_in_the_same_place_is_refused(tmp_path, change, said):
    generate(tmp_path, FakeSource())
    before = files(tmp_path)
    with pytest.raises(DataSetError, match=said):
        generate(tmp_path, **{"source": FakeSource(), **change})
    assert files(tmp_path) == before


def test_shards_without_an_index_are_not_taken_over(tmp_path):
    generate(tmp_path, FakeSource())
    (tmp_path / INDEX).unlink()
    with pytest.raises(DataSetError, match=r"has shards and no index\.json"):
        generate(tmp_path, FakeSource())


def test_two_runs_do_not_write_to_one_place(tmp_path):
    with opened(FolderStore(tmp_path)), pytest.raises(DataSetError, match="another run writes"):
        generate(tmp_path, FakeSource())


def test_memory_holds_few_blocks(tmp_path):
    """What is drawn ahead waits until the blocks before it are written."""
    drawn, most = [], 0

    class Counting(FakeSource):
        def draw(self, seeds):
            drawn.append(seeds)
            return super().draw(seeds)

    def advance(images):
        nonlocal most
        written.append(images)
        most = max(most, len(drawn) - len(written))

    written = []
    store, source = FolderStore(tmp_path), Counting()
    index = new_index(source, range(200 * BLOCK), "npy", 2)
    with opened(store):
        write(resumed(index, store), source, store, advance)
    assert most <= 3 * source.parallel


@pytest.mark.parametrize("harm", ["flip", "remove", "cut"])
def test_verify_finds_a_file_that_is_not_what_was_written(tmp_path, harm):
    index = generate(tmp_path, FakeSource())
    path = tmp_path / "shard-000001.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    if harm != "remove":
        path.write_bytes(data[:-1] if harm == "cut" else data)
    with pytest.raises(Different, match="shard-000001"):
        verify(index, FolderStore(tmp_path), None, 1, 0, lambda images: None)


@pytest.mark.parametrize("form", ["npy", "tar", "parquet"])
def test_verify_finds_an_image_that_is_drawn_otherwise(tmp_path, form):
    class Other(FakeSource):
        def draw(self, seeds):
            images = super().draw(seeds)
            if 1000 in seeds:
                images[seeds.index(1000), 1, 1, 1] ^= 2
            return images

    index = generate(tmp_path, FakeSource(), form=form)
    with pytest.raises(Different, match="seed 1000 differs by up to 2 grey levels"):
        verify(index, FolderStore(tmp_path), Other(), None, 1, lambda images: None)
    found = verify(index, FolderStore(tmp_path), Other(), None, 2, lambda images: None)
    assert (found.images_drawn, found.levels) == (len(SEEDS), 2)


@pytest.mark.parametrize("sample", [1, 2 * BLOCK, 2 * BLOCK + 1])
def test_a_sample_of_as_many_images_or_a_block_more_is_drawn_again(tmp_path, sample):
    index = generate(tmp_path, FakeSource(), images=BLOCK + 1)  # blocks of one image are among them
    for _ in range(20):  # the choice is random
        source = FakeSource()
        found = verify(index, FolderStore(tmp_path), source, sample, 0, lambda images: None)
        assert sample <= found.images_drawn == len({*source.drawn}) < sample + BLOCK


def test_a_tar_whose_making_was_stopped_is_made_anew(tmp_path, monkeypatch):
    tar = SingleTar(tmp_path / "cars.tar")
    index = generate(tmp_path / ".cars.tar.shards", FakeSource(), form="tar")

    def stop(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ShardFile, "to_disk", stop)
        tar.join(index)
    assert not tar.path.exists()
    tar.join(index)
    tar.remove_parts()
    assert sorted(files(tmp_path)) == ["cars.tar", "cars.tar.json"]


def test_one_tar_holds_what_its_shards_held(tmp_path):
    tar = SingleTar(tmp_path / "cars.tar")
    index = generate(tmp_path / ".cars.tar.shards", FakeSource(), form="tar")
    whole = tar.join(index)
    tar.remove_parts()
    with tarfile.open(tar.path) as found:
        assert found.getnames() == [f"{seed}.png" for seed in SEEDS]
    assert sorted(files(tmp_path)) == ["cars.tar", "cars.tar.json"]
    assert whole.is_complete
    there = read_index(tar.reader().read(INDEX), "")
    found = verify(there, tar.reader(), FakeSource(), None, 0, lambda images: None)
    assert found.images_drawn == len(SEEDS)

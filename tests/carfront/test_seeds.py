"""Ranges of seeds, as people write them, become shards without gaps."""

import pytest

from carfront.datasets.seeds import BLOCK, images_a_shard, part_of, seeds_of, shards_of
from carfront.errors import DataSetError


def test_ranges_are_read():
    assert seeds_of("0:1000000") == range(1_000_000)
    assert seeds_of("5:1_000") == range(5, 1000)
    assert seeds_of(f"{2**64 - 2}:{2**64}") == range(2**64 - 2, 2**64)


@pytest.mark.parametrize("text", ["", "7", "7:7", "9:7", "-1:5", f"0:{2**64 + 1}", "a:b", "1:2:3"])
def test_other_texts_are_refused_in_a_sentence(text):
    with pytest.raises(DataSetError, match=r"^seeds is .*; wanted FIRST:END"):
        seeds_of(text)


def test_parts_follow_one_another():
    assert part_of(range(10, 20), 0) == range(10, 20)
    assert part_of(range(10, 20), 3) == range(40, 50)
    with pytest.raises(DataSetError, match="part is 2"):
        part_of(range(2**63), 2)


@pytest.mark.parametrize(("images", "blocks"), [(BLOCK, 4), (3 * BLOCK, 2), (10, 79)])
def test_shards_hold_every_seed_once(images, blocks):
    seeds = range(7, 797)
    shards = shards_of(seeds, images, ".tar")
    assert [seed for shard in shards for seed in shard.seeds] == [*seeds]
    assert [seed for shard in shards for x in shard.blocks(100) for seed in x] == [*seeds]
    assert len({shard.name for shard in shards}) == len(shards) == -(-len(seeds) // images)


@pytest.mark.parametrize("megabytes", [2, 64, 512])
@pytest.mark.parametrize("image_bytes", [12, 3072, 4096, 200_000, 60_000_000])
def test_shards_are_as_large_as_they_may_be(megabytes, image_bytes):
    size = images_a_shard(megabytes, image_bytes) * image_bytes
    assert 2_000_000 <= size <= 512_000_000

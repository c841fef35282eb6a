"""Ranges of seeds: as people write them, and cut into shards."""

import re
from dataclasses import dataclass

from carfront.errors import BadArgument

SEEDS = 2**64
"""The number of seeds; a seed is 0 to SEEDS - 1."""
BLOCK = 256
"""What the number of a shard's images is a multiple of, and how many a sample has together."""
MOST_BYTES = 512_000_000
"""The bytes of a shard at most."""
_RANGE = re.compile(r"(\d{1,20}):(\d{1,20})")


def seeds_of(text: str) -> range:
    """Return the range of seeds that ``text`` writes, ``0:1000000``, the last one not in it.

    Raises:
        BadArgument: it writes none.
    """
    found = _RANGE.fullmatch(text.replace("_", ""))
    first, end = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 <= first < end <= SEEDS:
        raise BadArgument(
            f"seeds is {text!r}; wanted FIRST:END, such as 0:1000000, with END above FIRST and "
            "at most 2^64"
        )
    return range(first, end)


def part_of(seeds: range, part: int) -> range:
    """Return the range that comes ``part`` ranges of the same length after ``seeds``.

    Raises:
        BadArgument: there are not so many seeds.
    """
    shift = part * (seeds.stop - seeds.start)
    if seeds.stop + shift > SEEDS:
        raise BadArgument(f"part is {part}; its seeds would end above 2^64")
    return range(seeds.start + shift, seeds.stop + shift)


@dataclass(frozen=True)
class Shard:
    """One file of a data set."""

    name: str
    seeds: range

    def blocks(self, images: int) -> list[range]:
        """Return the seeds of the shard, ``images`` at a time."""
        starts = range(self.seeds.start, self.seeds.stop, images)
        return [range(start, min(start + images, self.seeds.stop)) for start in starts]


def images_a_shard(megabytes: int, image_bytes: int) -> int:
    """Return how many images of ``image_bytes`` go into a shard of about ``megabytes`` MB.

    It is the next multiple of ``BLOCK``, or the one below if that is more than ``MOST_BYTES``.
    """
    images = -(-megabytes * 1_000_000 // image_bytes)
    whole = -(-images // BLOCK) * BLOCK
    if whole * image_bytes > MOST_BYTES:
        whole -= BLOCK
    return whole or max(1, MOST_BYTES // image_bytes)


def shards_of(seeds: range, images: int, suffix: str) -> list[Shard]:
    """Return the shards of ``seeds``, each of ``images`` seeds; the last one may have fewer."""
    starts = range(seeds.start, seeds.stop, images)
    return [
        Shard(f"shard-{number:06}{suffix}", range(start, min(start + images, seeds.stop)))
        for number, start in enumerate(starts)
    ]

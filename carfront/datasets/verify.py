"""Checks a data set: its files by their digests, its images by drawing them again."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carfront.datasets.formats import HEAD, npy_head, tar_image_bytes
from carfront.datasets.index import Index, ShardFacts
from carfront.datasets.seeds import BLOCK, Shard
from carfront.datasets.shard_file import sha256_of
from carfront.datasets.source import Source
from carfront.datasets.store import Store
from carfront.errors import Different
from carfront.png import layout, pixels_of


@dataclass(frozen=True)
class Verified:
    """What was checked and found good."""

    shards: int
    images_drawn: int
    levels: int
    """The largest difference to what is drawn now, in grey levels."""


def check_complete(index: Index, store: Store) -> None:
    """Check that every image's shard is in the index, once, and in the store.

    Raises:
        Different: one is missing.
    """
    wanted = {x.name: x.seeds for x in index.wanted()} if len(index.shards) != 1 else {}
    known = {x.name: range(x.first_seed, x.first_seed + x.images) for x in index.shards.values()}
    for name, seeds in wanted.items():
        if known.get(name) != seeds:
            told = f"{name} with the seeds {seeds.start}:{seeds.stop}"
            raise Different(f"{store.place} is not complete: {told} is missing")
    if not index.is_complete:
        raise Different(f"{store.place} is not complete: it has {index.images} images")
    for name in sorted({*known} - store.names()):
        raise Different(f"{store.place} is not complete: {name} is missing")


def verify(
    index: Index,
    store: Store,
    source: Source | None,
    sample: int | None,
    tolerance: int,
    advance: Callable[[int], object],
) -> Verified:
    """Check all files, and ``sample`` images, or all if it is None, if there is a ``source``.

    ``tolerance`` is how many grey levels an image may differ from what is drawn now.

    Raises:
        Different: something differs; the message says what.
    """
    check_complete(index, store)
    size = min(BLOCK, source.block) if source else BLOCK
    chosen = _chosen(index, sample, size) if source else set()
    drawn = levels = 0
    for facts in sorted(index.shards.values(), key=lambda x: x.first_seed):
        path = store.fetch(facts.name)
        try:
            _check_file(facts, path, store.place)
            for block in _shard(facts).blocks(size):
                if source and block.start in chosen:
                    images = read_block(index, facts, path, block)
                    levels = max(levels, _levels(images, block, source, facts, tolerance, index))
                    drawn += len(block)
        finally:
            store.forget(path)
        advance(facts.images)
    return Verified(len(index.shards), drawn, levels)


def _chosen(index: Index, sample: int | None, size: int) -> set[int]:
    """Return the first seeds of the blocks of ``size`` whose images are drawn again."""
    blocks = [x for facts in index.shards.values() for x in _shard(facts).blocks(size)]
    if sample is None:
        return {block.start for block in blocks}
    random.shuffle(blocks)
    before = accumulate((len(block) for block in blocks), initial=0)
    return {block.start for block, images in zip(blocks, before, strict=False) if images < sample}


def _shard(facts: ShardFacts) -> Shard:
    return Shard(facts.name, range(facts.first_seed, facts.first_seed + facts.images))


def _check_file(facts: ShardFacts, path: Path, place: str) -> None:
    size = path.stat().st_size
    if size != facts.bytes or sha256_of(path) != facts.sha256:
        raise Different(
            f"{place}/{facts.name} is not what was written: wanted {facts.bytes} bytes with the "
            f"SHA-256 {facts.sha256[:12]}..."
        )


def read_block(index: Index, facts: ShardFacts, path: Path, block: range) -> NDArray[np.uint8]:
    """Return the images of the seeds ``block`` in the shard at ``path``, uint8 [n, H, W, C]."""
    at, n, shape = block.start - facts.first_seed, len(block), index.shape
    if index.format == "npy":
        head, size = len(npy_head(facts.images, shape)), int(np.prod(shape))
        return np.fromfile(path, np.uint8, n * size, offset=head + at * size).reshape(n, *shape)
    files = layout(*shape).size
    if index.format == "tar":
        size = tar_image_bytes(shape)
        records = np.fromfile(path, np.uint8, n * size, offset=at * size).reshape(n, size)
        return pixels_of(records[:, HEAD : HEAD + files], shape)
    from carfront.datasets.parquet import pngs_of

    seeds, pngs = pngs_of(str(path))
    if seeds[at : at + n] != list(block) or any(len(x) != files for x in pngs[at : at + n]):
        raise Different(f"{path} has other seeds than its index says")
    joined = np.frombuffer(b"".join(pngs[at : at + n]), np.uint8)
    return pixels_of(joined.reshape(n, files), shape)


def _levels(
    images: NDArray[np.uint8],
    block: range,
    source: Source,
    facts: ShardFacts,
    tolerance: int,
    index: Index,
) -> int:
    """Return the largest difference between ``images`` and those that are drawn now."""
    now = source.draw(block)
    levels = np.abs(images.astype(np.int16) - now).reshape(len(block), -1).max(axis=1)
    worst = int(levels.max())
    if worst > tolerance:
        seed = block[int((levels > tolerance).argmax())]
        raise Different(
            f"{facts.name}: the image of seed {seed} differs by up to {worst} grey levels from "
            f"what {source.lineage.plan} draws (it was drawn by {index.lineage.plan}); "
            f"allowed are {tolerance}"
        )
    return worst

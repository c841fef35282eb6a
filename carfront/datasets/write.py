"""Writes a data set: drawn and encoded in threads, written in order, published whole.

Only so many blocks are in memory as threads draw, twice. A run that was killed goes on: the shards
that are there are neither drawn nor written again.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from carfront.datasets.formats import Format, format_of
from carfront.datasets.index import INDEX, Index, read_index
from carfront.datasets.seeds import Shard, images_a_shard
from carfront.datasets.shard_file import ShardFile, sha256_of
from carfront.datasets.source import Source
from carfront.datasets.store import Store
from carfront.errors import DataSetError

Advance = Callable[[int], object]
"""Called with the number of images that are done besides."""


def new_index(source: Source, seeds: range, name: str, megabytes: int) -> Index:
    """Return the index of a data set in the format ``name`` of which nothing is there."""
    form = format_of(name)
    images = images_a_shard(megabytes, form.image_bytes(source.shape))
    return Index(name, seeds, images, source.shape, source.lineage, {}, form.suffix)


def known_index(store: Store) -> Index | None:
    """Return the index in ``store``, None if there is none.

    Raises:
        DataSetError: it cannot be read, or there are shards without one.
    """
    data = store.read(INDEX)
    if data is not None:
        return read_index(data, f"{store.place}/{INDEX}")
    if any(name.startswith("shard-") for name in store.names()):
        raise DataSetError(f"{store.place} has shards and no {INDEX}; wanted an empty place")
    return None


def resumed(index: Index, store: Store) -> Index:
    """Return ``index`` with what of it is in ``store`` already, and put it there.

    A shard that is there and that the index does not know was published just before a kill: it is
    whole, and is read once to know its digest.

    Raises:
        DataSetError: the store holds another data set.
    """
    known, form = known_index(store), format_of(index.format)
    if known:
        known.check_same(index, store.place)
    there = store.names()
    for shard in index.wanted():
        if shard.name not in there:
            continue
        if known and shard.name in known.shards:
            index.shards[shard.name] = known.shards[shard.name]
        else:
            _take_over(index, form, shard, store)
    store.write(INDEX, index.to_json())
    return index


def _take_over(index: Index, form: Format, shard: Shard, store: Store) -> None:
    path = store.fetch(shard.name)
    size = path.stat().st_size
    if form.shard_bytes and size != form.shard_bytes(len(shard.seeds), index.shape):
        raise DataSetError(f"{store.place}/{shard.name} has {size} bytes, as no shard of it has")
    index.add(shard, size, sha256_of(path))
    store.forget(path)


def write(index: Index, source: Source, store: Store, advance: Advance) -> None:
    """Draw the images of ``index`` that are not in ``store``, and put them there.

    Raises:
        CarfrontError: a source or a store failed. All that was published before is there.
    """
    _Run(index, source, store, advance).run()


class _Run:
    def __init__(self, index: Index, source: Source, store: Store, advance: Advance) -> None:
        self._index = index
        self._source = source
        self._store = store
        self._advance = advance
        self._form = format_of(index.format)
        self._noting = threading.Lock()

    def run(self) -> None:
        todo = [shard for shard in self._index.wanted() if shard.name not in self._index.shards]
        drawers = ThreadPoolExecutor(self._source.parallel, "draw")
        publishers = ThreadPoolExecutor(self._store.parallel, "publish")
        published: deque[Future[None]] = deque()
        try:
            blocks = self._encoded(drawers, todo)
            for shard in todo:
                file = self._fill(shard, blocks)
                published.append(publishers.submit(self._publish, shard, file))
                while len(published) > self._store.parallel:
                    published.popleft().result()
            while published:
                published.popleft().result()
        except BaseException:
            self._source.close()
            raise
        finally:
            drawers.shutdown(wait=False, cancel_futures=True)
            publishers.shutdown(wait=True)  # what is on its way becomes a whole file

    def _encoded(self, drawers: ThreadPoolExecutor, todo: list[Shard]) -> Iterator[Any]:
        """Yield the encoded blocks of all shards in their order, some of them drawn ahead."""
        ahead: deque[Future[Any]] = deque()
        size = self._source.block
        for block in (block for shard in todo for block in shard.blocks(size)):
            ahead.append(drawers.submit(self._draw, block))
            if len(ahead) > 2 * self._source.parallel:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def _draw(self, block: range) -> Any:
        return self._form.encode(self._source.draw(block), block)

    def _fill(self, shard: Shard, blocks: Iterator[Any]) -> ShardFile:
        """Return the draft of ``shard``, with all that belongs into it."""
        draft = self._store.draft(shard.name)
        try:
            file = ShardFile(draft)
            writer = self._form.writer(file, len(shard.seeds), self._index.shape)
            for block in shard.blocks(self._source.block):
                writer.add(next(blocks))
                self._advance(len(block))
            writer.close()
        except BaseException as error:
            with suppress(OSError):
                draft.unlink()
            if isinstance(error, OSError):
                told = f"{self._store.place}: {error.strerror or error}"
                raise DataSetError(f"{told}; the shards before are whole") from error
            raise
        return file

    def _publish(self, shard: Shard, file: ShardFile) -> None:
        """Make the draft a shard, and note it in the index.

        Raises:
            DataSetError: the store does not take it.
        """
        try:
            with file:
                file.to_disk()
            self._store.publish(file.path, shard.name)
            with self._noting:
                self._index.add(shard, file.size, file.sha256)
                self._store.write(INDEX, self._index.to_json())
        except OSError as error:
            told = f"{self._store.place}: {error.strerror or error}"
            raise DataSetError(f"{told}; the shards before are whole") from error

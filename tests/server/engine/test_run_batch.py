"""Rows of every source ride in one batch, and each gets its own images."""

import numpy as np
import pytest
from tests_engine import SHAPE, picture, serving

from server.bundle.latents import latents
from server.engine.batcher import Slice
from server.engine.run_batch import EngineRequest, run_batch
from server.ipc.arena import Arena
from server.ipc.messages import Submit
from server.ipc.sources import LATENTS, SEED_RANGE, SEEDS, Latents, SeedRange, Seeds

SLOT = 2**12


class Connection:
    """Stand in for a worker's connection."""

    running = 0


@pytest.fixture
def arena():
    arena = Arena.create(16 * SLOT)
    yield arena
    arena.close()


def request_for(arena, place, source, served):
    """Return the engine's request for ``source``, as a worker leaves it in the arena."""
    offset = place * SLOT
    if source.given is not None:
        given = source.given
        arena.given(given.dtype, given.shape, offset + SHAPE.size(source.n))[...] = given
    submit = Submit(
        place, 7, source.seed, offset, source.n, 1.0, False, False, source.kind, source.truncation
    )
    return EngineRequest(Connection(), arena, submit, served)


MINE = np.arange(24, dtype=np.float32).reshape(3, 8)
SOURCES = {
    "range": (SeedRange(5, 3), latents([5, 6, 7], 8)),
    "truncated-range": (SeedRange(5, 3, 0.7), latents([5, 6, 7], 8) * np.float32(0.7)),
    "last-seed": (SeedRange(2**64 - 1, 1), latents([2**64 - 1], 8)),
    "seeds": (Seeds([9, 2**64 - 1, 0, 9]), latents([9, 2**64 - 1, 0, 9], 8)),
    "truncated-seeds": (Seeds([9, 4], 0.25), latents([9, 4], 8) * np.float32(0.25)),
    "latents": (Latents(MINE), MINE),
    "other-latents": (Latents(MINE[:1] - 30), MINE[:1] - 30),
}


@pytest.mark.parametrize(("source", "rows"), SOURCES.values(), ids=SOURCES)
def test_source_alone_draws_its_latents(arena, source, rows):
    served = serving([picture])
    request = request_for(arena, 1, source, served)
    assert not run_batch([Slice(request, 0, source.n)], served, picture)
    assert (request.images == picture(rows)).all()


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_sources_of_one_batch_get_their_own_images_whatever_part_of_them_runs(arena, distribution):
    served = serving([picture])
    served.distribution = distribution
    drawn = []

    def run(rows):
        drawn.append(rows.copy())
        return picture(rows)

    requests = [
        request_for(arena, place, source, served)
        for place, (source, _) in enumerate(SOURCES.values())
    ]
    first = [Slice(x, 0, 1) for x in requests]
    rest = [Slice(x, 1, x.rows - 1) for x in requests if x.rows > 1]
    for slices in (first, rest):
        assert not run_batch(slices, served, run)
    assert [x.dtype for x in drawn] == [np.float32] * 2
    assert [len(x) for x in drawn] == [len(first), sum(x.rows for x in rest)]
    for request, (source, rows) in zip(requests, SOURCES.values(), strict=True):
        if distribution == "uniform" and source.kind != LATENTS:
            seeds = (
                source.seeds if source.kind == SEEDS else range(source.seed, source.seed + source.n)
            )
            rows = latents(list(seeds), 8, "uniform") * np.float32(source.truncation)
        assert (request.images == picture(rows)).all(), source


def test_seeds_of_all_requests_of_a_batch_are_made_latents_in_one_call(arena, monkeypatch):
    calls = []

    def make(seeds, *rule):
        calls.append(list(seeds))
        return latents(seeds, *rule)

    monkeypatch.setattr("server.engine.run_batch.latents", make)
    served = serving([picture])
    sources = (SeedRange(1, 2), SeedRange(3, 2))
    plain = [request_for(arena, place, x, served) for place, x in enumerate(sources)]
    mixed = [
        request_for(arena, 2, Latents(MINE), served),
        request_for(arena, 3, Seeds([9]), served),
    ]
    for requests in (plain, plain + mixed):
        assert not run_batch([Slice(x, 0, x.rows) for x in requests], served, picture)
    assert calls == [[1, 2, 3, 4], [1, 2, 3, 4, 9]]


@pytest.mark.parametrize("kind", [SEED_RANGE, SEEDS, LATENTS])
@pytest.mark.parametrize(
    ("offset", "rows"),
    [(2**64 - 1, 1), (2**63, 1), (16 * SLOT, 1), (16 * SLOT - 64, 1), (0, 2**32 - 1), (0, 0)],
)
def test_slot_that_no_arena_has_is_refused_not_read(arena, kind, offset, rows):
    submit = Submit(1, 7, 0, offset, rows, 1.0, False, False, kind)
    with pytest.raises((ValueError, OverflowError)):
        EngineRequest(Connection(), arena, submit, serving([picture]))


def test_rows_that_end_behind_the_arena_are_refused_not_read(arena):
    offset = 16 * SLOT - SHAPE.size(1)
    for kind, fits in ((SEED_RANGE, True), (SEEDS, False), (LATENTS, False)):
        submit = Submit(1, 7, 0, offset, 1, 1.0, False, False, kind)
        if fits:
            EngineRequest(Connection(), arena, submit, serving([picture]))
        else:
            with pytest.raises(ValueError, match="buffer"):
                EngineRequest(Connection(), arena, submit, serving([picture]))


def test_kind_of_rows_that_there_is_not_is_refused(arena):
    submit = Submit(1, 7, 0, 0, 1, 1.0, False, False, 3)
    with pytest.raises(ValueError, match="no rows of kind 3"):
        EngineRequest(Connection(), arena, submit, serving([picture]))

"""What lies where in a slot of the arena."""

import numpy as np
import pytest

from server.ipc.arena import ALIGN, Arena, SlotShape, size_of_given

SHAPE = SlotShape((4, 4, 3))


@pytest.fixture
def arena():
    arena = Arena.create(2**16)
    yield arena
    arena.close()


def test_what_is_given_lies_behind_the_images_and_neither_touches_the_other(arena):
    rows, offset = 5, 3 * ALIGN
    latents = np.arange(rows * 8, dtype=np.float32).reshape(rows, 8)
    place = offset + SHAPE.size(rows)
    arena.given(latents.dtype, latents.shape, place)[...] = latents
    arena.mark(offset, runs=True)
    arena.images(SHAPE, offset, rows)[...] = 255
    arena.mark(place + size_of_given(latents), runs=True)  # the slot behind
    assert (arena.given(np.float32, (rows, 8), place) == latents).all()
    assert (arena.images(SHAPE, offset, rows) == 255).all()


def test_float_images_take_four_times_the_bytes(arena):
    floats = SlotShape((4, 4, 3), np.float32)
    assert floats.image_bytes == 4 * SHAPE.image_bytes
    images = arena.images(floats, ALIGN, 5)
    assert (images.dtype, images.shape) == (np.float32, (5, 4, 4, 3))
    images[...] = 0.5
    behind = arena.given(np.uint8, (ALIGN,), ALIGN + floats.size(5))
    assert (behind == 0).all()


@pytest.mark.parametrize("given_bytes", [[0], [8], [32], [32, 4], [0, 4]])
def test_as_many_rows_as_are_said_to_fit_into_a_slot_do_so(given_bytes):
    for size in range(1024, 4096, ALIGN):
        rows = SHAPE.rows_in(size, *given_bytes)
        given = [np.zeros(rows * each, np.uint8) for each in given_bytes]
        assert SHAPE.size(rows) + sum(map(size_of_given, given)) <= size


def test_place_that_the_arena_has_not_is_told_so(arena):
    for rows, offset in ((1, 2**16), (2**32 - 1, 0), (1, 2**64 - 1)):
        with pytest.raises((ValueError, OverflowError)):
            arena.images(SHAPE, offset, rows)
        with pytest.raises((ValueError, OverflowError)):
            arena.given(np.uint64, (rows,), offset)

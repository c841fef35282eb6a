"""Messages come out as they went in, and no two requests ever share a byte of an arena."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine import wire

SHAPE = wire.SlotShape((32, 32, 3))


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_messages_come_out_as_they_went_in():
    submits = [
        wire.Submit(2**64 - 1, 7, 2**63, 2**40, 4096, 1.5, False, True),
        wire.Submit(1, 2**64 - 1, 5, 0, 1, 2.5, True, False),
    ]
    results = [wire.Result(7, wire.Status.FULL, 0.1, 0.2, 3, 4, 0.4, 0.5)]
    cancels = [wire.Cancel(2**64 - 1), wire.Cancel(3)]
    asks = [wire.Ask(3, "load", "cars", "")]
    told = [wire.Told(3, 'no such "model"')]
    for messages in (submits, results, cancels, asks, told, [wire.Changed()]):
        assert list(wire.unpack(b"".join(wire.pack(messages)))) == messages


def test_nothing_to_say_is_no_packet():
    assert list(wire.pack([])) == []


def test_longest_text_fits_into_a_packet():
    (packet,) = wire.pack([wire.Told(2**64, "\u2028" * 10_000)])
    assert len(packet) <= wire.MAX_PACKET
    (told,) = wire.unpack(packet)
    assert set(told.error) == {"\u2028"}


@pytest.mark.parametrize(
    "packet", [b"", b"X", b"S1234567", b"C123", b"A{}", b"A[1]", b"T", b"who is there?"]
)
def test_packet_of_a_stranger_is_told_from_ours(packet):
    with pytest.raises(ValueError, match="no packet of ours"):
        wire.unpack(packet)


def test_messages_that_wait_together_travel_together():
    submits = [wire.Submit(i, 7, 0, 0, 1, 0.0, False, False) for i in range(wire.PACKET + 1)]
    packets = list(wire.pack(submits))
    assert len(packets) == 2
    assert max(map(len, packets)) <= wire.MAX_PACKET


def test_worker_and_engine_see_the_same_memory(tmp_path):
    listener = wire.listen(tmp_path / "engine.sock")
    worker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker.connect(str(tmp_path / "engine.sock"))
    engine, _ = listener.accept()
    arena = wire.Arena.create(2**20)
    wire.send_hello(worker, arena)
    seen = wire.receive_hello(engine)
    seen.images(SHAPE, 640, 3)[2, 31, 31] = (1, 2, 3)
    assert arena.images(SHAPE, 640, 3)[2, 31, 31].tolist() == [1, 2, 3]
    for thing in (worker, engine, listener, arena, seen):
        thing.close()


def test_stranger_is_no_worker(tmp_path):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.send(b"GET / HTTP/1.1")
    assert wire.receive_hello(ours) is None
    read, write = os.pipe()
    socket.send_fds(theirs, [b"carfront-engine/9"], [read])
    before = open_files()
    assert wire.receive_hello(ours) is None
    assert open_files() == before, "a stranger's descriptor stayed open"
    for fd in (read, write):
        os.close(fd)
    ours.close()
    theirs.close()


def test_newer_engine_takes_the_older_ones_place(tmp_path):
    path = tmp_path / "engine.sock"
    old = wire.listen(path)
    inode = path.stat().st_ino
    new = wire.listen(path)
    assert path.stat().st_ino != inode
    assert list(tmp_path.iterdir()) == [path]
    old.close()
    new.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=80))
def test_slots_never_overlap_and_all_come_back(steps):
    slots = wire.Slots(1000)
    held = {}
    for give_back, size in steps:
        if give_back and held:
            slots.give_back(next(iter(held)))
            held.pop(next(iter(held)))
        elif (offset := slots.take(size)) is not None:
            held[offset] = size
        cells = [cell for start, n in held.items() for cell in range(start, start + n)]
        assert len(cells) == len(set(cells))
        assert all(0 <= cell < 1000 for cell in cells)
    for offset in held:
        slots.give_back(offset)
    assert slots.take(1000) == 0


def test_slot_that_fits_nowhere_is_none():
    slots = wire.Slots(100)
    assert slots.take(60) == 0
    assert slots.take(60) is None
    assert np.array(slots.take(40)) == 60

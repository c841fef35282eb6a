"""Messages come out as they went in."""

import pytest

from server.ipc.messages import (
    MAX_PACKET,
    PACKET,
    Ask,
    Cancel,
    Changed,
    Result,
    Submit,
    Told,
    pack,
    unpack,
)
from server.ipc.sources import LATENTS
from server.queue_state import QueueState


def test_messages_come_out_as_they_went_in():
    submits = [
        Submit(2**64 - 1, 7, 2**63, 2**40, 4096, 1.5, False, True),
        Submit(1, 2**64 - 1, 5, 0, 1, 2.5, True, False, LATENTS, 0.7, 9999),
    ]
    results = [Result(7, 1, 0.1, 0.2, 24, QueueState(3, 4, 0.4, 0.5))]
    cancels = [Cancel(2**64 - 1), Cancel(3)]
    asks = [Ask(3, "load", "cars", "")]
    told = [Told(3, 'no such "model"')]
    for messages in (submits, results, cancels, asks, told, [Changed()]):
        unpacked = list(unpack(b"".join(pack(messages))))
        assert unpacked == messages
        assert [type(field) for field in unpacked[0]] == [type(field) for field in messages[0]]


def test_nothing_to_say_is_no_packet():
    assert list(pack([])) == []


def test_longest_text_fits_into_a_packet():
    (packet,) = pack([Told(2**64, "\u2028" * 10_000)])
    assert len(packet) <= MAX_PACKET
    (told,) = unpack(packet)
    assert set(told.error) == {"\u2028"}


@pytest.mark.parametrize(
    "packet", [b"", b"X", b"S1234567", b"C123", b"A{}", b"A[1]", b"T", b"who is there?"]
)
def test_packet_of_a_stranger_is_told_from_ours(packet):
    with pytest.raises(ValueError, match="no packet of ours"):
        unpack(packet)


def test_messages_that_wait_together_travel_together():
    submits = [Submit(i, 7, 0, 0, 1, 0.0, False, False) for i in range(PACKET + 1)]
    packets = list(pack(submits))
    assert len(packets) == 2
    assert max(map(len, packets)) <= MAX_PACKET

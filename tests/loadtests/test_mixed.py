"""What is counted of requests of very different sizes, and that each group of callers asks."""

import asyncio
from contextlib import suppress

import pytest

from loadtests import mixed
from loadtests.mixed import Answers, Group


def test_late_ones_are_counted_among_the_accepted_and_refused_ones_among_all():
    answers = Answers()
    answers.statuses.update({200: 6, 504: 2, 503: 8})
    answers.images, answers.seconds = 60, [1.0, 2.0]
    facts = answers.facts(over_s=10.0)
    assert (facts["requests"], facts["accepted"], facts["other"]) == (16, 8, 0)
    assert (facts["late"], facts["refused"]) == (0.25, 0.5)
    assert facts["images_per_s"] == 6.0


def test_load_without_any_answer_divides_by_nothing():
    assert Answers().facts(over_s=1.0)["late"] == 0


def test_one_image_is_asked_for_as_png_and_several_as_npy():
    assert mixed.request("h:1", 1, 7, 0.5).startswith(b"GET /v1/images/7.png HTTP/1.1\r\n")
    several = mixed.request("h:1", 9, 7, 0.5)
    assert several.endswith(b'{"n": 9, "seed": 7, "format": "npy"}')
    assert b"X-Request-Timeout-Ms: 500\r\n" in several


@pytest.mark.parametrize("status", [200, 503, 504])
def test_callers_of_all_groups_ask_until_the_load_is_over(status):
    """A server that gives every request the same answer."""

    async def answer(reader, writer):
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode())
        writer.close()

    async def run():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        groups = (Group("one", 2, 1, 1, 1.0), Group("other", 1, 1, 1, 1.0))
        async with server:
            return await mixed.meet(f"http://127.0.0.1:{port}", groups, 0.1, number=0, warm_s=0)

    found = asyncio.run(run())
    assert set(found) == {"one", "other"}
    assert all(set(answers.statuses) == {status} for answers in found.values())

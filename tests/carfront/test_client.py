"""Both clients against a server over loopback that fails as it is told to."""

import asyncio
import io
import json

import numpy as np
import pytest

from carfront import (
    AccessDenied,
    AsyncClient,
    BadAnswer,
    BadRequest,
    Client,
    NotFound,
    RateLimited,
    TooLate,
    Unavailable,
    Unreachable,
)
from tests.carfront.fakes import BROKEN, TRICKLE, TRUNCATED, fake_server, images_of, problem


@pytest.fixture
def server():
    with fake_server() as fake:
        yield fake


class Both:
    """Calls a method of one of the clients, which notes its pauses instead of sleeping."""

    def __init__(self, kind):
        self.kind = kind
        self.pauses = []

    def call(self, url, method, *arguments, timeout_s=30.0, **options):
        if self.kind == "sync":
            return self._call(url, method, arguments, {"timeout_s": timeout_s, **options})
        return asyncio.run(self._acall(url, method, arguments, {"timeout_s": timeout_s, **options}))

    def _call(self, url, method, arguments, options):
        with Client(url, sleep=self.pauses.append, **options) as client:
            return getattr(client, method)(*arguments)

    async def _acall(self, url, method, arguments, options):
        async def note(pause_s):
            self.pauses.append(pause_s)

        async with AsyncClient(url, sleep=note, **options) as client:
            return await getattr(client, method)(*arguments)


@pytest.fixture(params=["sync", "async"])
def client(request):
    return Both(request.param)


@pytest.mark.parametrize(
    "seeds", [range(7, 12), [9, 3, 9], (np.int64(5),), {4: "four", 5: "five"}.keys()]
)
def test_images_come_in_the_order_of_their_seeds(server, client, seeds):
    images = client.call(server.url, "images", seeds)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, images_of(seeds))


def test_neighbours_are_asked_for_as_a_range_and_others_by_name(server, client):
    client.call(server.url, "images", [5, 6, 7])
    client.call(server.url, "images", [5, 7])
    bodies = [json.loads(body) for _, _, body in server.requests]
    assert bodies == [{"format": "npy", "seed": 5, "n": 3}, {"format": "npy", "seeds": [5, 7]}]


def test_more_images_than_a_request_may_have_are_asked_for_in_several(server, client):
    images = client.call(server.url, "images", range(9000))
    np.testing.assert_array_equal(images, images_of(range(9000)))
    assert sorted(json.loads(body)["n"] for *_, body in server.requests) == [808, 4096, 4096]


def test_an_error_among_many_requests_is_told_as_it_is(server, client):
    server.faults += [None, problem(400, "seed is too large; wanted less")]
    with pytest.raises(BadRequest, match="seed is too large"):
        client.call(server.url, "images", range(50_000))


def test_latents_go_as_a_file_of_float32(server, client):
    rows = np.arange(6, dtype=np.float64).reshape(3, 2)
    images = client.call(server.url, "latents", rows)
    np.testing.assert_array_equal(images, images_of([0, 2, 4]))
    ((path, headers, body),) = server.requests
    assert (path, headers["Content-Type"]) == ("/v1/images?format=npy", "application/x-npy")
    assert np.load(io.BytesIO(body)).dtype == np.float32


def test_one_image_has_no_batch_dimension(server, client):
    assert client.call(server.url, "image", 3).shape == (4, 4, 3)


def test_a_path_before_ours_is_kept(server, client):
    client.call(f"{server.url}/cars/", "image", 3)
    assert server.requests[0][0] == "/cars/v1/images"


def test_a_full_server_is_asked_again_no_sooner_than_it_says(server, client):
    server.faults += [problem(503, "full", Retry_After=3), problem(429, "slowly", Retry_After=2)]
    client.call(server.url, "image", 3)
    assert len(server.requests) == 3
    assert [3 < client.pauses[0] < 3.2, 2 < client.pauses[1] < 2.3] == [True, True]


CUT_FILE = (200, {}, b"\x93NUMPY\x01\x00v\x00{'descr': '|u1'")
"""A file that a proxy has cut, as it knew no length of the answer."""


@pytest.mark.parametrize("fault", [BROKEN, TRUNCATED, CUT_FILE], ids=["broken", "cut", "cut file"])
def test_a_broken_connection_is_made_again(server, client, fault):
    server.faults += [fault, fault]
    np.testing.assert_array_equal(client.call(server.url, "image", 3), images_of([3])[0])
    assert len(server.requests) == 3
    assert all(0 < pause_s <= 0.2 for pause_s in client.pauses)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BadRequest), (401, AccessDenied), (404, NotFound), (504, TooLate)],
)
def test_an_error_is_the_servers_sentence_and_not_asked_again(server, client, status, kind):
    server.faults.append(problem(status, "seed is -1; wanted more", field="seed"))
    with pytest.raises(kind, match=r"^seed is -1; wanted more$") as caught:
        client.call(server.url, "image", 3)
    assert caught.value.problem["field"] == "seed"
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "kind"), [(503, Unavailable), (429, RateLimited)])
def test_what_the_server_wants_to_wait_beyond_the_deadline_fails_at_once(
    server, client, status, kind
):
    server.faults.append(problem(status, "full", Retry_After=60))
    with pytest.raises(kind, match="full"):
        client.call(server.url, "image", 3)
    assert client.pauses == []


def test_the_server_is_told_how_long_the_caller_waits(server, client):
    client.call(server.url, "image", 3, timeout_s=700.0, key="secret", bulk=True)
    ((_, headers, _),) = server.requests
    assert 600_000 < int(headers["X-Request-Timeout-Ms"]) <= 700_000
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Carfront-Priority"] == "bulk"


def test_an_answer_that_trickles_ends_with_the_deadline(server, client, monkeypatch):
    for module in ("retries", "async_client", "http"):
        monkeypatch.setattr(f"carfront.{module}.GRACE_S", 0.05)
    server.faults.append(TRICKLE)
    with pytest.raises(TooLate, match=r"within|in time"):
        client.call(server.url, "images", range(20), timeout_s=0.3)


def test_no_server_is_a_sentence(client):
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 does not answer: "):
        client.call("http://127.0.0.1:9", "image", 3, retries=False)


def test_an_answer_that_is_no_image_is_none(server, client):
    server.faults.append((200, {"Content-Type": "text/html"}, b"<html>welcome</html>"))
    with pytest.raises(BadAnswer, match=r"no \.npy file of images"):
        client.call(server.url, "image", 3, retries=False)


def test_a_page_of_a_proxy_is_told_by_its_status(server, client):
    server.faults.append((502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"))
    with pytest.raises(Unavailable, match="the server answered 502"):
        client.call(server.url, "image", 3, retries=False)


def test_a_redirect_is_not_followed_as_the_key_would_go_with_it(server, client):
    server.faults.append((302, {"Location": "http://127.0.0.1:9/"}, b""))
    with pytest.raises(BadAnswer, match="302"):
        client.call(server.url, "image", 3, retries=False)


@pytest.mark.parametrize("url", ["ftp://host", "127.0.0.1:8000", "http://", ""])
def test_an_address_that_is_none_of_http_is_refused(client, url):
    with pytest.raises(BadRequest, match="wanted http://"):
        client.call(url, "image", 3)


def test_connections_are_kept(server):
    for _ in range(3):  # httpx ends one that a machine which stands still leaves idle for 5 s
        before = server.connections
        with Client(server.url) as client:
            for seed in range(20):
                client.image(seed)
        if server.connections == before + 1:
            return
    pytest.fail("other connections for other calls")

"""Cases of our own interface: what is drawn, in which form, and what the caller has already."""

import json
from collections.abc import Callable
from typing import Any

from loadtests.fuzz.maker import FORMATS, Maker
from loadtests.fuzz.request import ANSWER, Images, Request

LATENT_DIM = 100
SUFFIXES = ("png", "jpg", "webp", "npy")
GRIDS = ("png", "jpg", "webp")
TAGS = (b'"x"', b"W/", b'""', b'"', b"x" * 4000, b'"a", "b", W/"c"', b"\xff", b'"*"', b"**")
"""Values of If-None-Match that are no tag of an image."""
ACCEPTED: tuple[tuple[bytes, int], ...] = (
    (b"image/webp", 200),
    (b"image/*;q=0.5, application/x-npy", 200),
    (b"*/*;q=0", 406),
    (b"text/html", 406),
    (b"image/png;q=x, image/jpeg", 200),
    (b",,,;;;===", 406),
    (b"a" * 1001, 400),
)
"""Values of Accept, and the status of an image without a suffix."""
ODD_QUERIES: tuple[str, ...] = (
    "scale=0", "scale=-1", "scale=1e1", "scale=", "scale=33", "scale=99999999999999999999999",
    "filter=", "filter=cubic", "filter=nearest&filter=nearest", "truncation=0", "truncation=nan",
    "truncation=inf", "truncation=-0", "truncation=1e400", "truncation=1e-400", "truncation=0x1",
    "truncation=" + "1" * 5000, "class=dog", "class=0", "=", "&x", "scale=2;filter=lanczos",
    "%73cale=33", "scale=%00", "scale=\u0662",
)  # fmt: skip
"""Queries of an image that are refused."""
ODD_GRIDS = (
    "rows=0", "cols=0", "rows=4097&cols=1", "rows=65&cols=64", "rows=4096&cols=4096", "seed=-1",
    "seed=18446744073709551615&rows=1&cols=2", "seed=1e3", "rows=1.0", "cols=+1", "rows=1&rows=1",
    "rows=64&cols=64&scale=32", "n=4", "format=png",
)  # fmt: skip
"""Queries of a grid that are refused."""


def image(maker: Maker) -> Request:
    """Return a right request for an image in any format, with any parameters."""
    rng, suffix = maker.rng, maker.rng.choice(SUFFIXES)
    scale, seed = rng.choice((1, 2, 8, 32)), rng.choice((0, 7, 2**63, 2**64 - 1))
    query = [f"scale={scale}", f"filter={rng.choice(('nearest', 'lanczos'))}"]
    query += [f"truncation={rng.choice((1, 1.0, 0.5, 1e-30, '1e-3', '+0.7'))}"]
    rng.shuffle(query)
    chosen = "&".join(query[: rng.randrange(4)])
    base = rng.choice(("/v1", f"/v1/models/cars-dcgan/versions/{maker.version}"))
    target = f"{base}/images/{seed}.{suffix}?{chosen}".replace("+", "%2B")
    request = maker.request(f"image: {suffix}", target=target)
    return request.owes(ANSWER, (200,))


def grid(maker: Maker) -> Request:
    """Return a right request for a grid."""
    rng, suffix = maker.rng, maker.rng.choice(GRIDS)
    rows, cols = rng.choice(((1, 1), (2, 3), (8, 1), (1, 16), (16, 16)))
    scale = rng.choice((1, 2, 4))
    query = f"rows={rows}&cols={cols}&scale={scale}&seed={rng.randrange(1000)}"
    request = maker.request(f"grid: {suffix}", target=f"/v1/grid.{suffix}?{query}")
    return request.owes(ANSWER, (200, 503))


def odd_query(maker: Maker) -> Request:
    """Return a request for an image or a grid whose query cannot be served."""
    odd = maker.rng.random() < 0.5
    path, queries = ("/v1/images/7.png", ODD_QUERIES) if odd else ("/v1/grid.png", ODD_GRIDS)
    query = maker.rng.choice(queries)
    request = maker.request(f"query: {'odd' if odd else 'odd, of a grid'}", target=path)
    request.target += b"?" + query.encode()
    return request.owes(ANSWER, (400,))


def any_query(maker: Maker) -> Request:
    """Return a request for an image whose query has any text in it."""
    name = maker.rng.choice(("scale", "truncation", "filter", "class", "seed", "rows"))
    text = b"".join(b"%%%02X" % byte for byte in maker.rng.choice(maker.odd.texts).encode())
    path = maker.rng.choice((b"/v1/images/7.webp", b"/v1/grid.webp", b"/v1/images/7"))
    request = maker.request("query: any text")
    request.target = b"%b?%b=%b" % (path, name.encode(), text)
    return request.owes(ANSWER, (200, 400, 503))


def conditional(maker: Maker) -> Request:
    """Return a request of a caller who may have the image already."""
    request = maker.request("condition: right tag", target="/v1/images/7.png").owes(ANSWER, (304,))
    field = maker.tag.encode()
    if maker.rng.random() < 0.3:
        request.kind, field = "condition: any tag", b"*"
    elif maker.rng.random() < 0.5:
        request.kind, field = "condition: wrong tag", maker.rng.choice(TAGS)
        request.owes(ANSWER, (200,)).images = Images(7)
    elif maker.rng.random() < 0.3:
        request.kind, field = "condition: one of many tags", b'"a", W/"b", ' + field
    request.fields.append(b"If-None-Match: " + field)
    if maker.rng.random() < 0.2:
        request.kind, request.method = f"HEAD, {request.kind}", b"HEAD"
    return request


def accepted(maker: Maker) -> Request:
    """Return a request for an image in the format that its caller takes."""
    accept, status = maker.rng.choice(ACCEPTED)
    request = maker.request("accept", target="/v1/images/7").owes(ANSWER, (status,))
    request.fields.append(b"Accept: " + accept)
    return request


def seeds(maker: Maker) -> Request:
    """Return a request for the images of a list of seeds, or of latents, in any format."""
    rng = maker.rng
    wanted: dict[str, Any] = {"format": rng.choice(FORMATS)}
    n = rng.choice((1, 2, 8))
    if rng.random() < 0.5:
        wanted["seeds"] = [rng.choice((0, 7, 7, 2**64 - 1, rng.getrandbits(64))) for _ in range(n)]
        wanted["truncation"] = rng.choice((1, 0.5, 1e-300))
    else:
        numbers = (0, -0.0, 1e-45, 3.4e38, -3.4e38, 1, rng.gauss(0, 1))
        wanted["latents"] = [[rng.choice(numbers) for _ in range(LATENT_DIM)] for _ in range(n)]
    if rng.random() < 0.3:
        wanted |= {"scale": rng.choice((1, 4)), "filter": rng.choice(("nearest", "lanczos"))}
    request = maker.request(f"source: {'seeds' if 'seeds' in wanted else 'latents'}", "POST")
    request.target = b"/v1/images"
    request.fields.append(b"Content-Type: application/json")
    return request.owes(ANSWER, (200,)).with_body(json.dumps(wanted).encode())


CASES: dict[Callable[[Maker], Request], int] = {
    image: 4, grid: 2, odd_query: 3, any_query: 2, conditional: 4, accepted: 2, seeds: 3,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""

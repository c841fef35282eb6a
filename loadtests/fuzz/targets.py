"""Cases of request targets, each with what the server owes.

Source: RFC 9112 (HTTP/1.1), section 3.2, and RFC 3986 for escapes.
"""

from collections.abc import Callable

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, REFUSAL, SECRET, Images, Request, Variant

TARGETS = (
    Variant("absolute", b"http://carfront.test/v1/images/7.png", ANSWER, (200,)),
    Variant("absolute, upper case", b"HTTP://CARFRONT.TEST:80/v1/images/7.png", ANSWER, (200,)),
    Variant("absolute, https, query", b"https://x/v1/images/7.png?scale=1", ANSWER, (200,)),
    Variant("absolute, IPv6", b"http://[::1]:8000/v1/images/7.png", ANSWER, (200,)),
    Variant("absolute, with a user", b"http://u:" + SECRET + b"@x/healthz", ANSWER, (200, 400)),
    Variant("absolute, no path", b"http://carfront.test", ANSWER, (200, 400)),
    Variant("absolute, no host", b"http:///healthz", ANSWER, (200, 400, 404)),
    Variant("absolute, another scheme", b"ftp://x/healthz", ANSWER, (200, 400, 404)),
    Variant("authority alone", b"carfront.test:80", ANSWER, (400, 404)),
    Variant("no slash", b"healthz", ANSWER, (400, 404)),
    Variant("asterisk", b"*", ANSWER, (400, 404, 405)),
    Variant("query", b"/v1/images/7.png?filter=lanczos&scale=%31&", ANSWER, (200,)),
    Variant("query of unknown names", b"/v1/images/7.png?size=large", ANSWER, (400,)),
    Variant("query, scale too large", b"/v1/images/7.png?scale=33", ANSWER, (400,)),
    Variant("query, scale twice", b"/v1/images/7.png?scale=2&scale=2", ANSWER, (400,)),
    Variant("query, no UTF-8", b"/v1/images/7.png?scale=%ff\xff", ANSWER, (400,)),
    Variant("grid", b"/v1/grid.jpg?rows=2&cols=2&scale=4", ANSWER, (200,)),
    Variant("grid that is too large", b"/v1/grid.png?rows=64&cols=64&scale=8", ANSWER, (400,)),
    Variant("morph", b"/v1/morph.webp?from=1&to=18446744073709551615", ANSWER, (200,)),
    Variant("morph without an end", b"/v1/morph.png?from=1", ANSWER, (400,)),
    Variant("morph of too many frames", b"/v1/morph.gif?from=1&to=2&frames=257", ANSWER, (400,)),
    Variant("no suffix", b"/v1/images/7", ANSWER, (200,)),
    Variant("query, truncation", b"/v1/images/7.png?truncation=%31&", ANSWER, (200,)),
    Variant("query, truncation above 1", b"/v1/images/7.png?truncation=1.1", ANSWER, (400,)),
    Variant(
        "query, truncation twice", b"/v1/images/7.png?truncation=1&truncation=1", ANSWER, (400,)
    ),
    Variant("query, truncation no UTF-8", b"/v1/images/7.png?truncation=%ff", ANSWER, (400,)),
    Variant("escaped digits", b"/v1/images/%37.png", ANSWER, (200,)),
    Variant("fragment", b"/v1/images/7.png#top", ANSWER, (200, 400, 404)),
    Variant("two slashes", b"//v1//images//7.png", ANSWER, (200, 400, 404)),
    Variant("two slashes below v2", b"/v2//repository/index", ANSWER, (400, 404, 405)),
    Variant("slash behind", b"/v1/images/7.png/", ANSWER, (400, 404)),
    Variant("dots", b"/v1/../v1/images/7.png", ANSWER, (200, 400, 404)),
    Variant("escaped dots", b"/v1/%2e%2e/%2e%2e/etc/passwd", ANSWER, (400, 404)),
    Variant("escaped slash", b"/v1/images%2f7.png", ANSWER, (200, 400, 404)),
    Variant("escaped NUL", b"/v1/images/%00.png", ANSWER, (400, 404)),
    Variant("escaped line end", b"/v1/images/7.png%0d%0aX-A:%20b", ANSWER, (400, 404)),
    Variant("malformed escape", b"/v1/images/%zz.png", ANSWER, (400, 404)),
    Variant("no UTF-8", b"/v1/images/%ff%fe.png", ANSWER, (400, 404)),
    Variant("bytes above ASCII", b"/v1/images/\xc3\xa9\xff.png", ANSWER, (400, 404)),
    Variant("NUL", b"/v1/images/\0.png", ANSWER, (400, 404)),
    Variant("control character", b"/v1/images/\x01\x7f.png", ANSWER, (400, 404)),
    Variant("tab", b"/v1/images/\t7.png", ANSWER, (400, 404)),
    Variant("space", b"/v1/images/ 7.png", REFUSAL, (400,)),
    Variant("of 9,000 bytes", b"/" + b"a" * 9000, REFUSAL, (400, 414)),
    Variant("of 70,000 bytes", b"/" + b"a" * 70_000, REFUSAL, (400, 414, 431)),
    Variant("seed -1", b"/v1/images/-1.png", ANSWER, (400,)),
    Variant("seed 2^64", b"/v1/images/18446744073709551616.png", ANSWER, (400,)),
    Variant("seed 2^64 - 1", b"/v1/images/18446744073709551615.png", ANSWER, (200,)),
    Variant("seed 007", b"/v1/images/007.png", ANSWER, (200, 400)),
    Variant("seed 1e3", b"/v1/images/1e3.png", ANSWER, (400,)),
    Variant("seed empty", b"/v1/images/.png", ANSWER, (400, 404)),
    Variant("seed of Arabic digits", b"/v1/images/%d9%a7.png", ANSWER, (400,)),
    Variant("seed of 5,000 digits", b"/v1/images/" + b"1" * 5000 + b".png", ANSWER, (400,)),
    Variant("another ending", b"/v1/images/7.gif", ANSWER, (404,)),
    Variant("unknown", b"/v1/cars", ANSWER, (404,)),
    Variant("unknown below v2", b"/v2/health/perfect", ANSWER, (404,)),
    Variant("v2 alone", b"/v2", ANSWER, (200,)),
    Variant("no model", b"/v1/models/none/versions/1/images/7.png", ANSWER, (404,)),
    Variant("no version", b"/v1/models/cars-dcgan/versions/99/images/7.png", ANSWER, (404,)),
    Variant("odd version", b"/v1/models/cars-dcgan/versions/-1/images/7.png", ANSWER, (400, 404)),
)
SEVENS = ("absolute", "absolute, upper case", "absolute, https, query", "absolute, IPv6", "query")
"""The targets that ask for the image of seed 7."""


def target(maker: Maker) -> Request:
    """Return a request with an odd target."""
    variant = maker.rng.choice(TARGETS)
    request = maker.request(f"target: {variant.name}").owes(variant.owed, variant.statuses)
    request.target = variant.value
    if variant.name in (*SEVENS, "escaped digits", "two slashes", "dots", "fragment", "seed 007"):
        request.images = Images(7)
    return request


def any_target(maker: Maker) -> Request:
    """Return a request with a target of any characters."""
    request = maker.request("target: any text").owes(ANSWER, (400, 404, 405))
    text = maker.rng.choice(maker.odd.texts).encode()
    if maker.rng.random() < 0.5:
        text = b"".join(b"%%%02x" % byte for byte in text)
    text = text.translate(None, b" \r\n?#").lstrip(b"/.")
    request.target = b"/v1/images/x" + text + b".png"
    return request


CASES: dict[Callable[[Maker], Request], int] = {target: 8, any_target: 2}
"""The cases, and how often each comes in relation to the others."""

"""Cases of heads: methods, versions and header fields, each with what the server owes.

Source: RFC 9112 (HTTP/1.1), sections 2 to 6, and RFC 9110 for methods and fields.
"""

from collections.abc import Callable

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, EITHER, REFUSAL, SECRET, Request, Variant

METHODS = (
    Variant("unknown", b"BREW", ANSWER, (405, 501)),
    Variant("in lower case", b"get", ANSWER, (400, 405, 501)),
    Variant("very long", b"G" * 5000, ANSWER, (400, 405, 414, 501)),
    Variant("with a character that is none of a token", b"G@T", ANSWER, (400, 405, 501)),
    Variant("with a NUL", b"GE\0T", ANSWER, (400, 405, 501)),
    Variant("two words", b"GET GET", REFUSAL, (400,)),
    Variant("none", b"", REFUSAL, (400,)),
)
VERSIONS = (
    Variant("2.0", b"HTTP/2.0", REFUSAL, (400, 505)),
    Variant("1.2", b"HTTP/1.2", ANSWER, (200, 400, 505)),
    Variant("0.9", b"HTTP/0.9", REFUSAL, (400, 505)),
    Variant("in lower case", b"http/1.1", REFUSAL, (400, 505)),
    Variant("two digits", b"HTTP/1.10", REFUSAL, (400, 505)),
    Variant("none", b"", REFUSAL, (400, 505)),
    Variant("of another protocol", b"ICY/1.1", REFUSAL, (400, 505)),
    Variant("with a space behind", b"HTTP/1.1 ", REFUSAL, (400, 505)),
)
LINES = (
    Variant("value of 8 KB", b"X-A: " + b"a" * 8000, ANSWER, (200, 400, 431)),
    Variant("value of 70 KB", b"X-A: " + b"a" * 70_000, REFUSAL, (400, 431)),
    Variant("90 KB in all", b"\r\n".join([b"X-A: " + b"a" * 1000] * 90), REFUSAL, (400, 431)),
    Variant("80 fields", b"\r\n".join([b"X-A: a"] * 80), ANSWER, (200,)),
    Variant("500 fields", b"\r\n".join([b"X-A: a"] * 500), REFUSAL, (400, 431)),
    Variant("space before the colon", b"X-A : a", REFUSAL, (400,)),
    Variant("token before the colon", b"X-Key " + SECRET + b" : a", REFUSAL, (400,)),
    Variant("no colon", b"Authorization Bearer " + SECRET, REFUSAL, (400,)),
    Variant("no name", b": a", REFUSAL, (400,)),
    Variant("no value", b"X-A:", ANSWER, (200,)),
    Variant("tabs and spaces", b"X-A: \t a \t ", ANSWER, (200,)),
    Variant("bare CR", b"X-A: a\rb", REFUSAL, (400,)),
    Variant("bare LF ends it", b"X-A: a\nX-B: b", ANSWER, (200, 400)),
    Variant("NUL", b"X-A: a\0b", REFUSAL, (400,)),
    Variant("control character", b"X-A: a\x01\x7f", ANSWER, (200, 400)),
    Variant("folded", b"X-A: a\r\n b", ANSWER, (200, 400)),
    Variant("bytes above ASCII", b"X-A: \xff\xc3\xa9", ANSWER, (200, 400)),
    Variant("name above ASCII", b"X-\xc3\xa9: a", REFUSAL, (400,)),
    Variant("underscores", b"Content_Length: 5\r\nTransfer_Encoding: chunked", ANSWER, (200,)),
    Variant("two Hosts", b"Host: other.test", REFUSAL, (400,)),
    Variant("timeout", b"X-Request-Timeout-Ms: 60000", ANSWER, (200,)),
    Variant("timeout of a word", b"X-Request-Timeout-Ms: soon", ANSWER, (400,)),
    Variant("timeout of 0", b"X-Request-Timeout-Ms: 0", ANSWER, (400,)),
    Variant("timeout huge", b"X-Request-Timeout-Ms: " + b"9" * 400, ANSWER, (400,)),
    Variant("bulk", b"Carfront-Priority: bulk", ANSWER, (200,)),
    Variant("priority unknown", b"Carfront-Priority: now", ANSWER, (400,)),
    Variant("malformed trace", b"traceparent: 00-zz-zz-\xff", ANSWER, (200,)),
    Variant("websocket", b"Connection: Upgrade\r\nUpgrade: websocket", ANSWER, (200,)),
    Variant("h2c", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA", ANSWER, (200,)),
    Variant("range", b"Range: bytes=0-1", ANSWER, (200,)),
    Variant("conditions", b'If-None-Match: "a"\r\nIf-Modified-Since: now', ANSWER, (200,)),
    Variant("accept", b"Accept: ;;q=,*/\xff", ANSWER, (200, 400, 406)),
    Variant("cookies", b"Cookie: a=b\r\nCookie: c", ANSWER, (200,)),
    Variant("basic authorization", b"Authorization: Basic " + SECRET, ANSWER, (200,)),
)
HOSTS = (
    Variant("none", b"", REFUSAL, (400,)),
    Variant("empty", b"Host:", ANSWER, (200, 400)),
    Variant("of two words", b"Host: a b", ANSWER, (200, 400)),
    Variant("with a user", b"Host: a@b", ANSWER, (200, 400)),
    Variant("list", b"Host: a, b", ANSWER, (200, 400)),
    Variant("above ASCII", b"Host: \xff", ANSWER, (200, 400)),
    Variant("with a path", b"Host: a/b?c", ANSWER, (200, 400)),
)
GARBAGE = (
    Variant("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 60, EITHER, (400,)),
    Variant("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSAL, (400, 505)),
    Variant("SMTP", b"EHLO carfront.test\r\n", REFUSAL, (400,)),
    Variant("one word", b"GET\r\n\r\n", REFUSAL, (400,)),
    Variant("HTTP/0.9", b"GET /healthz\r\n\r\n", REFUSAL, (400, 505)),
    Variant("line ends in front", b"\r\n\r\n\r\nGET\r\n\r\n", REFUSAL, (400,)),
    Variant("NULs", b"\0" * 100 + b"\r\n\r\n", REFUSAL, (400,)),
    Variant("9,000 bytes in one line", b"a" * 9000 + b"\r\n\r\n", REFUSAL, (400, 414)),
)


def method(maker: Maker) -> Request:
    """Return a request with an odd method."""
    variant = maker.rng.choice(METHODS)
    request = maker.single(f"method: {variant.name}").owes(variant.owed, variant.statuses)
    request.method, request.images = variant.value, None
    return request


def version(maker: Maker) -> Request:
    """Return a request with an odd version of HTTP."""
    variant = maker.rng.choice(VERSIONS)
    request = maker.single(f"version: {variant.name}").owes(variant.owed, variant.statuses)
    request.version = variant.value
    return request


def version_1_0(maker: Maker) -> Request:
    """Return a request of HTTP/1.0, which needs no Host and keeps a connection if it says so."""
    kept = maker.rng.random() < 0.5
    request = maker.single("version: 1.0, kept alive" if kept else "version: 1.0")
    request.version, request.closes = b"HTTP/1.0", not kept
    request.fields = request.fields[maker.rng.randrange(2) :]
    if kept:
        request.fields.append(b"Connection: keep-alive")
    return request


def field(maker: Maker) -> Request:
    """Return a request with an odd header field, at any place among the others."""
    variant = maker.rng.choice(LINES)
    request = maker.single(f"field: {variant.name}").owes(variant.owed, variant.statuses)
    request.fields.insert(maker.rng.randrange(1, len(request.fields) + 1), variant.value)
    return request


def first_field(maker: Maker) -> Request:
    """Return a request whose first field begins with a space."""
    request = maker.single("field: space in front of the first").owes(REFUSAL, (400,))
    request.fields.insert(0, b" X-A: a")
    return request


def any_field(maker: Maker) -> Request:
    """Return a request with a field whose value is any text."""
    request = maker.single("field: any text").owes(ANSWER, (200, 400, 406))
    name = maker.rng.choice((b"Accept", b"User-Agent", b"X-Request-Timeout-Ms", b"traceparent"))
    text = maker.rng.choice(maker.odd.texts).encode().translate(None, b"\0\r\n")
    if name == b"X-Request-Timeout-Ms" and text.strip().isdigit():  # it may be too short
        request.statuses |= {503, 504}
    request.fields.append(name + b": " + text)
    return request


def host(maker: Maker) -> Request:
    """Return a request with an odd Host, or none."""
    variant = maker.rng.choice(HOSTS)
    request = maker.single(f"host: {variant.name}").owes(variant.owed, variant.statuses)
    request.fields[:1] = [variant.value] if variant.value else []
    return request


def line_ends(maker: Maker) -> Request:
    """Return a request whose lines end with bare line feeds, or that begins with empty lines."""
    request = maker.single("line ends").owes(ANSWER, (200, 400))
    if maker.rng.random() < 0.5:
        request.kind += ": bare LF"
        request.line_end = b"\n"
    else:
        request.kind += ": an empty line in front"
        request.method = b"\r\nGET"
    return request


def connection(maker: Maker) -> Request:
    """Return a request that says whether its answer is the last."""
    last = maker.rng.random() < 0.5
    values = (b"close", b"Close", b"close, TE", b"keep-alive, close", b",close,")
    kept = (b"keep-alive", b"Keep-Alive", b"TE", b"closed, x-close", b"")
    request = maker.single("connection: close" if last else "connection: kept")
    request.fields.append(b"Connection: " + maker.rng.choice(values if last else kept))
    request.closes = last
    return request


def garbage(maker: Maker) -> Request:
    """Return bytes that are no request at all."""
    variant = maker.rng.choice(GARBAGE)
    request = maker.request(f"garbage: {variant.name}").owes(variant.owed, variant.statuses)
    request.raw_head, request.ends_writing = variant.value, variant.owed is EITHER
    return request


def cut_head(maker: Maker) -> Request:
    """Return a request that ends within its head."""
    request = maker.single("cut: within the head").owes(EITHER, (400, 408))
    request.raw_head = request.head[: maker.rng.randrange(1, len(request.head) - 1)]
    request.images, request.ends_writing = None, True
    return request


CASES: dict[Callable[[Maker], Request], int] = {
    method: 2, version: 2, version_1_0: 2, field: 8, first_field: 1,
    any_field: 2, host: 2, line_ends: 2, connection: 4, garbage: 3, cut_head: 2,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""

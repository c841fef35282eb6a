"""Cases of bodies that come in chunks, right and malformed, each with what the server owes.

What follows a malformed chunk looks like a request of its own: if it is answered, the server read a
body as a request. Source: RFC 9112 (HTTP/1.1), sections 6.1 and 7.
"""

from collections.abc import Callable

from loadtests.fuzz.maker import Maker, document, follow_up
from loadtests.fuzz.request import ANSWER, REFUSAL, Request, Variant

CODINGS = (
    Variant("upper case", b"CHUNKED", ANSWER, (200,)),
    Variant("gzip, chunked", b"gzip, chunked", REFUSAL, (400, 501)),
    Variant("chunked, gzip", b"chunked, gzip", REFUSAL, (400, 501)),
    Variant("chunked twice", b"chunked, chunked", REFUSAL, (400, 501)),
    Variant("identity", b"identity", REFUSAL, (400, 501)),
    Variant("unknown", b"xchunked", REFUSAL, (400, 501)),
    Variant("with a parameter", b"chunked;q=1", REFUSAL, (400, 501)),
    Variant("with a vertical tab", b"\x0bchunked", REFUSAL, (400, 501)),
    Variant("empty", b"", REFUSAL, (400, 501)),
)
CHUNKS = (
    Variant("one chunk", b"%(x)x\r\n%(d)b\r\n0\r\n\r\n", ANSWER, (200,)),
    Variant("upper case, zeros", b"000%(x)X\r\n%(d)b\r\n000\r\n\r\n", ANSWER, (200,)),
    Variant("extension", b'%(x)x;a=b;c="d \\" e"\r\n%(d)b\r\n0;e\r\n\r\n', ANSWER, (200,)),
    Variant("trailers", b"%(x)x\r\n%(d)b\r\n0\r\nX-A: b\r\nX-C:\r\n\r\n", ANSWER, (200,)),
    Variant("spaces behind", b"%(x)x  \r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("size empty", b"\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("size -1", b"-1\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("size with plus", b"+%(x)x\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("size with 0x", b"0x%(x)x\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("size with underscore", b"1_0\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("size a word", b"zz\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("size of 17 digits", b"1%(x)016x\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400, 413)),
    Variant("size of 2^63", b"8000000000000000\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400, 413)),
    Variant("size too small", b"2\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("LF behind the size", b"%(x)x\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("LF behind the data", b"%(x)x\r\n%(d)b\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("CR in front of the size", b"\r%(x)x\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("LF in an extension", b"%(x)x;a\nb\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("CR in an extension", b"%(x)x;a\rb\r\n%(d)b\r\n0\r\n\r\n", REFUSAL, (400,)),
    Variant("NUL in an extension", b"%(x)x;\0\r\n%(d)b\r\n0\r\n\r\n", ANSWER, (200, 400)),
    Variant("LF in a trailer",
        b"%(x)x\r\n%(d)b\r\n0\r\nX-A: a\nX-B: b\r\n\r\n", ANSWER, (200, 400)),
    Variant("malformed trailer", b"%(x)x\r\n%(d)b\r\n0\r\nX A: b\r\n\r\n", REFUSAL, (400,)),
    Variant("trailer, no colon", b"%(x)x\r\n%(d)b\r\n0\r\nX-A\r\n\r\n", ANSWER, (200, 400)),
    Variant(
        "trailer of 90 KB", b"%(x)x\r\n%(d)b\r\n0\r\n" + b"X-A: bbbb\r\n" * 8200 + b"\r\n",
        ANSWER, (200, 400, 413, 431),
    ),
    Variant(
        "extension of 90 KB", b"%(x)x;" + b"a" * 90_000 + b"\r\n%(d)b\r\n0\r\n\r\n",
        REFUSAL, (400, 413, 431),
    ),
)  # fmt: skip


def chunks(maker: Maker) -> Request:
    """Return a request whose body comes in chunks, right or malformed."""
    variant = maker.rng.choice(CHUNKS)
    request = maker.several(f"chunks: {variant.name}").owes(variant.owed, variant.statuses)
    request.fields.append(b"Transfer-Encoding: chunked")
    body = document(request)
    request.body = variant.value % {b"x": len(body), b"d": body}
    if variant.owed is REFUSAL:
        request.body += follow_up()
    elif request.images and request.images.n > 8:
        request.statuses |= {503}
    return request


def many_chunks(maker: Maker) -> Request:
    """Return a request whose body comes in chunks of any sizes."""
    request = maker.several("chunks: of any sizes")
    request.fields.append(b"Transfer-Encoding: Chunked")
    rest = document(request)
    while rest:
        size = maker.rng.randrange(1, 9)
        part, rest = rest[:size], rest[size:]
        request.body += b"%x\r\n%b\r\n" % (len(part), part)
    request.body += b"0\r\n\r\n"
    return request


def chunks_in_1_0(maker: Maker) -> Request:
    """Return a request of HTTP/1.0 in chunks, which that version does not have."""
    request = maker.several("chunks: in HTTP/1.0").owes(REFUSAL, (400,))
    body = document(request)
    request.version = b"HTTP/1.0"
    request.fields += [b"Connection: keep-alive", b"Transfer-Encoding: chunked"]
    request.body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) + follow_up()
    return request


def coding(maker: Maker) -> Request:
    """Return a request with an odd Transfer-Encoding."""
    variant = maker.rng.choice(CODINGS)
    request = maker.several(f"transfer coding: {variant.name}")
    request.owes(variant.owed, variant.statuses)
    body = document(request)
    request.fields.append(b"Transfer-Encoding: " + variant.value)
    request.body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return request


CASES: dict[Callable[[Maker], Request], int] = {
    chunks: 7, many_chunks: 2, chunks_in_1_0: 1, coding: 2,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""

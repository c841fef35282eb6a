"""Cases of bodies: their lengths, codings and types, each with what the server owes.

Source: RFC 9112 (HTTP/1.1), section 6, and RFC 9110, sections 8.4 and 10.1.1.
"""

import gzip
import zlib
from collections.abc import Callable

from loadtests.fuzz.maker import Maker, document, follow_up
from loadtests.fuzz.request import ANSWER, EITHER, REFUSAL, Request, Variant

LENGTHS = (
    Variant("leading zeros", b"000%(d)d", ANSWER, (200, 400)),
    Variant("spaces around", b"  %(d)d  ", ANSWER, (200,)),
    Variant("plus", b"+%(d)d", REFUSAL, (400,)),
    Variant("minus", b"-%(d)d", REFUSAL, (400,)),
    Variant("decimal point", b"%(d)d.0", REFUSAL, (400,)),
    Variant("underscore", b"1_%(d)d", REFUSAL, (400,)),
    Variant("hexadecimal", b"0x%(d)x", REFUSAL, (400,)),
    Variant("word", b"many%(d)d", REFUSAL, (400,)),
    Variant("superscript", b"\xb2%(d)d", REFUSAL, (400,)),
    Variant("list", b"%(d)d, 7", REFUSAL, (400,)),
    Variant("of 10^12", b"1000000000%(d)03d", REFUSAL, (400, 413)),
    Variant("of 10^30", b"1" * 30 + b"%(d)d", REFUSAL, (400, 413)),
    Variant("of 5,000 digits", b"1" * 5000 + b"%(d)d", REFUSAL, (400, 413)),
    Variant("empty", b"", REFUSAL, (400,)),
)
SECOND_FIELDS = (
    Variant("the same length twice", b"Content-Length: %(d)d", ANSWER, (200, 400)),
    Variant("another length", b"Content-Length: 1%(d)d", REFUSAL, (400,)),
    Variant("chunked beside a length", b"Transfer-Encoding: chunked", REFUSAL, (400,)),
    Variant("identity beside a length", b"Transfer-Encoding: identity", REFUSAL, (400, 501)),
)
EXPECTATIONS = (b"100-continue", b"100-Continue", b"100-CONTINUE", b" 100-continue ")
TYPES = (
    Variant("with a charset", b"application/json; charset=utf-8", ANSWER, (200,)),
    Variant("upper case", b"Application/JSON", ANSWER, (200,)),
    Variant("another charset", b"application/json; charset=utf-16", ANSWER, (200, 400, 415)),
    Variant("of a form", b"application/x-www-form-urlencoded", ANSWER, (200, 415)),
    Variant("text", b"text/plain", ANSWER, (200, 415)),
    Variant("malformed", b";/=\xff", ANSWER, (200, 400, 415)),
)
LIMIT = 64 * 1024
"""The bytes of the largest body that the server reads of a request that carries no latents."""


def right(maker: Maker) -> Request:
    """Return a request for images with a right body."""
    request = maker.several("body: right")
    return request.with_body(document(request))


def length(maker: Maker) -> Request:
    """Return a request with an odd Content-Length."""
    variant = maker.rng.choice(LENGTHS)
    request = maker.several(f"length: {variant.name}").owes(variant.owed, variant.statuses)
    body = document(request)
    value = variant.value % {b"d": len(body)}
    return request.with_body(body + follow_up() if variant.owed is REFUSAL else body, value)


def two_lengths(maker: Maker) -> Request:
    """Return a request with two fields that say where its body ends."""
    variant = maker.rng.choice(SECOND_FIELDS)
    request = maker.several(f"length: {variant.name}").owes(variant.owed, variant.statuses)
    body = document(request)
    fields = [b"Content-Length: %d" % len(body), variant.value % {b"d": len(body)}]
    maker.rng.shuffle(fields)
    request.fields += fields
    request.body = body
    return request


def cut_body(maker: Maker) -> Request:
    """Return a request that ends within its body."""
    request = maker.several("cut: within the body").owes(EITHER, (400, 408))
    body = document(request)
    if maker.rng.random() < 0.5:
        request.with_body(body[: maker.rng.randrange(len(body))], b"%d" % len(body))
    else:
        request.kind = "cut: within chunks"
        request.fields.append(b"Transfer-Encoding: chunked")
        whole = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        request.body = whole[: maker.rng.randrange(len(whole))]
    request.images, request.ends_writing = None, True
    return request


def large(maker: Maker) -> Request:
    """Return a request with a body of the largest size that is read, or of one more."""
    request = maker.several("")
    over = maker.rng.choice((0, 0, 1, 5000, LIMIT))
    request.kind = f"body: {'over' if over else 'of'} the limit"
    request.target, request.images = b"/v2/repository/index", None
    body = b'{"ready": true}'.ljust(LIMIT + over)
    if maker.rng.random() < 0.5:
        request.kind += ", in chunks"
        request.fields.append(b"Transfer-Encoding: chunked")
        parts = [body[at : at + 9000] for at in range(0, len(body), 9000)]
        request.body = b"".join(b"%x\r\n%b\r\n" % (len(x), x) for x in parts) + b"0\r\n\r\n"
    else:
        request.with_body(body)
    return request.owes(ANSWER, (413,)) if over else request


def unwanted(maker: Maker) -> Request:
    """Return a request with a body though its method has none."""
    request = maker.single("body: of a GET").owes(ANSWER, (200, 400))
    body = b"GET /v1/images/3.png HTTP/1.1\r\nX-Request-Id: smuggled\r\nHost: x\r\n\r\n"
    return request.with_body(body)


def content_coding(maker: Maker) -> Request:
    """Return a request with a compressed body, or one that says that it is compressed."""
    name, encode = maker.rng.choice(
        ((b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"GZIP", bytes), (b"br", bytes))
    )
    request = maker.several("content coding: compressed").owes(ANSWER, (415,))
    request.fields.append(b"Content-Encoding: " + name)
    if maker.rng.random() < 0.5:
        request.target, request.kind = b"/v2/repository/index", "content coding: below v2"
        request.images = None
        is_read = encode is not bytes
        request.owes(ANSWER, (200,) if is_read else (415,) if name == b"br" else (400,))
        return request.with_body(encode(b'{"ready": true}'))
    return request.with_body(encode(document(request)))


def expectation(maker: Maker) -> Request:
    """Return a request whose caller waits for 100 (Continue) before it sends the body."""
    request = maker.several("expect: 100-continue")
    request.fields.append(b"Expect: " + maker.rng.choice(EXPECTATIONS))
    request.waits = True
    body = document(request)
    if maker.rng.random() < 0.3:
        request.kind += ", in chunks"
        request.fields.append(b"Transfer-Encoding: chunked")
        request.body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return request
    return request.with_body(body)


def refused_expectation(maker: Maker) -> Request:
    """Return a request whose body is too large, which its caller has not sent yet."""
    request = maker.several("expect: body over the limit").owes(REFUSAL, (413, 417))
    request.target, request.images = b"/v2/repository/index", None
    request.fields.append(b"Expect: 100-continue")
    request.waits = True
    return request.with_body(b"", b"%d" % (LIMIT + 1))


def odd_expectation(maker: Maker) -> Request:
    """Return a request that expects what nobody knows, or that has no body to wait for."""
    request = maker.single("expect: something else").owes(ANSWER, (200, 400, 417))
    request.fields.append(b"Expect: " + maker.rng.choice((b"200-ok", b"", b"100-continue, x")))
    return request


def content_type(maker: Maker) -> Request:
    """Return a request for images with another Content-Type."""
    variant = maker.rng.choice(TYPES)
    request = maker.several(f"content type: {variant.name}")
    request.owes(variant.owed, {*variant.statuses, *request.statuses})
    request.fields[-1] = b"Content-Type: " + variant.value
    return request.with_body(document(request))


CASES: dict[Callable[[Maker], Request], int] = {
    right: 3, length: 4, two_lengths: 2, cut_body: 2, large: 2, unwanted: 1, content_coding: 2,
    expectation: 2, refused_expectation: 1, odd_expectation: 1, content_type: 2,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""

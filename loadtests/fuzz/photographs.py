"""Cases of restorations: photographs, masks and forms, right, odd, damaged and far too large.

The searches are short: few steps, from few starts.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image, ImageDraw

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, REFUSAL, Request, Variant
from loadtests.fuzz.restored import Restored

TARGET = b"/v1/restore"
BOUNDARY = b"b0undary-of-the-fuzzer"
LARGEST = 16 * 2**20
"""The bytes of the largest body that the server reads of a photograph."""
SIZES = ((32, 32), (40, 24), (7, 90), (2, 2), (300, 200))
FILES = (
    ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "L"), ("PNG", "P"), ("PNG", "I;16"),
    ("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("WEBP", "RGBA"),
)  # fmt: skip
"""The forms of photographs, each with the mode of its pixels."""
ODD_TEXTS = (
    ("steps", "0"), ("steps", "501"), ("steps", "-1"), ("steps", "1.0"), ("steps", "1e1"),
    ("steps", ""), ("steps", "9" * 5000), ("steps", "\u0661"), ("restarts", "0"),
    ("restarts", "33"), ("restarts", "+1"), ("loss", "l2"), ("loss", ""), ("seed", "-1"),
    ("seed", "18446744073709551616"), ("size", "7"), ("", "7"), ("step\0s", "1"),
)  # fmt: skip
"""Fields of the form that are refused."""


def right(maker: Maker) -> Request:
    """Return a request to restore a photograph, which is whole, with a mask or without one."""
    form, mode = maker.rng.choice(FILES)
    size = maker.rng.choice(SIZES)
    parts = [file_part("photo", photograph(maker, form, mode, size))]
    kind = f"restore: {form} {mode}"
    if maker.rng.random() < 0.3:
        parts.append(file_part("mask", picture_of(drawn(maker, size, "L"), "PNG")))
        kind = "restore: with a mask"
    return search(maker, kind, parts)


def search(maker: Maker, kind: str, parts: list[bytes]) -> Request:
    """Return a right request with the ``parts`` of the files in its form."""
    rng, steps = maker.rng, maker.rng.choice((1, 2, 6))
    texts = [("steps", str(steps)), ("restarts", str(rng.choice((1, 2))))]
    if rng.random() < 0.3:
        texts += [("loss", rng.choice(("pixel", "pyramid"))), ("seed", str(rng.getrandbits(64)))]
    if rng.random() < 0.2:
        texts += [("model", "cars-dcgan"), ("version", maker.version)]
    parts = [*parts, *(text_part(*each) for each in texts)]
    rng.shuffle(parts)
    request = posted(maker, kind, body_of(parts))
    has_events = rng.random() < 0.5
    if has_events:
        request.kind += ", events"
        request.fields.append(b"Accept: text/event-stream")
    request.restored = Restored(steps, has_events)
    return request.owes(ANSWER, (200, 503, 504))


def damaged(maker: Maker) -> Request:
    """Return a request whose photograph or mask is no picture, or one that is cut or damaged."""
    form, mode = maker.rng.choice(FILES)
    whole = photograph(maker, form, mode)
    at = maker.rng.randrange(len(whole))
    what, content, statuses = maker.rng.choice(
        (
            ("empty", b"", (400,)),
            ("text", maker.rng.choice(maker.odd.texts).encode(), (400,)),
            ("cut", whole[: at // 2], (400, 200)),
            ("a byte of it", whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :], (400, 200)),
            ("a GIF", picture_of(Image.new("RGB", (9, 9)), "GIF"), (400,)),
            ("one pixel", picture_of(Image.new("RGB", (1, 1)), "PNG"), (400,)),
            ("hidden", picture_of(Image.new("RGBA", (9, 9)), "PNG"), (400,)),
            ("10^9 pixels", png_of_size(40_000, 25_000), (400,)),
            ("of no size", png_of_size(0, 0), (400,)),
            ("2^62 pixels", png_of_size(2**31 - 1, 2**31 - 1), (400,)),
        )
    )
    parts = [file_part("photo", content)]
    if maker.rng.random() < 0.3 and what != "hidden":
        parts = [file_part("photo", whole), file_part("mask", content)]
        what = f"mask, {what}"
    request = posted(maker, f"restore: damaged: {what}", body_of([*parts, *QUICK]))
    return request.owes(ANSWER, {*statuses, *((503, 504) if 200 in statuses else ())})


def odd_form(maker: Maker) -> Request:
    """Return a request whose form lacks something, has something odd, or is none."""
    photo = file_part("photo", photograph(maker, "PNG", "RGB"))
    name, value = maker.rng.choice(ODD_TEXTS)
    whole = body_of([photo])
    what, body = maker.rng.choice(
        (
            ("no photograph", body_of([*QUICK])),
            ("a photograph as text", body_of([text_part("photo", "x"), *QUICK])),
            ("two photographs", body_of([photo, photo])),
            ("a field twice", body_of([photo, *QUICK, *QUICK])),
            ("a file of another name", body_of([photo, file_part("picture", b"x")])),
            ("an odd field", body_of([photo, text_part(name, value)])),
            ("an odd field", body_of([photo, text_part(name, value)])),
            ("a long field", body_of([photo, text_part("loss", "x" * 300_000)])),
            ("too many parts", body_of([photo, *[text_part("x", "1")] * 100])),
            ("cut", whole[: maker.rng.randrange(1, len(whole) - len(BOUNDARY) - 10)]),
            ("no end", whole.removesuffix(b"--\r\n")),
            ("empty", b""),
            ("another boundary", whole.replace(BOUNDARY, b"another")),
        )
    )
    request = posted(maker, f"restore: form: {what}", body)
    return request.owes(ANSWER, (400,))


def unknown_model(maker: Maker) -> Request:
    """Return a request to restore a photograph with a model that is not there."""
    name, value = maker.rng.choice((("model", "lorry"), ("version", "999999"), ("model", "a/b")))
    photo = file_part("photo", photograph(maker, "PNG", "RGB"))
    body = body_of([photo, text_part(name, value)])
    return posted(maker, "restore: model that is not there", body).owes(ANSWER, (400, 404))


def another_type(maker: Maker) -> Request:
    """Return a request with a photograph in a body of another type, or in a coding."""
    photo = photograph(maker, "PNG", "RGB")
    form = b"multipart/form-data; boundary=" + BOUNDARY
    variant, coding = maker.rng.choice(
        (
            (Variant("picture", photo, ANSWER, (415,)), b"image/png"),
            (Variant("JSON", b"{}", ANSWER, (415,)), b"application/json"),
            (Variant("no type", photo, ANSWER, (415,)), b""),
            (Variant("no boundary", body_of([]), ANSWER, (415,)), b"multipart/form-data"),
            (Variant("mixed", body_of([]), ANSWER, (415,)), form.replace(b"form-data", b"mixed")),
            (Variant("compressed", gzip.compress(photo), ANSWER, (415,)), form),
        )
    )
    request = posted(maker, f"restore: type: {variant.name}", variant.value, coding)
    if variant.name == "compressed":
        request.fields.append(b"Content-Encoding: gzip")
    return request.owes(variant.owed, variant.statuses)


def too_large(maker: Maker) -> Request:
    """Return a request whose body is larger than any photograph may be, which is not sent."""
    request = maker.request("restore: over the limit", "POST").owes(REFUSAL, (413, 417))
    request.target, request.waits = TARGET, True
    request.fields += [
        b"Content-Type: multipart/form-data; boundary=" + BOUNDARY,
        b"Expect: 100-continue",
    ]
    return request.with_body(b"", b"%d" % (LARGEST + maker.rng.choice((1, LARGEST))))


def posted(maker: Maker, kind: str, body: bytes, type_: bytes | None = None) -> Request:
    """Return a request with a ``body`` that is a form, unless it has another ``type_``."""
    request = maker.request(kind, "POST")
    request.target = TARGET
    if type_ is None:
        type_ = b"multipart/form-data; boundary=" + BOUNDARY
    request.fields += [b"Content-Type: " + type_] if type_ else []
    return request.with_body(body)


def body_of(parts: list[bytes]) -> bytes:
    """Return the form of ``parts``."""
    lines = b"".join(b"--%b\r\n%b\r\n" % (BOUNDARY, part) for part in parts)
    return b"%b--%b--\r\n" % (lines, BOUNDARY)


def file_part(name: str, content: bytes) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="car"\r\n\r\n'
    return head.encode() + content


def text_part(name: str, text: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode()


QUICK = (text_part("steps", "1"), text_part("restarts", "1"))


def photograph(maker: Maker, form: str, mode: str, size: tuple[int, int] = (40, 24)) -> bytes:
    """Return a file with a picture of chance colors, of which half is shown at least."""
    image = drawn(maker, size, "RGBA")
    return picture_of(image.convert("L" if mode == "I;16" else mode).convert(mode), form)


def drawn(maker: Maker, size: tuple[int, int], mode: str) -> Image.Image:
    """Return an image, RGBA or L, whose right half is opaque, or black."""
    red, green, blue, other = maker.rng.randbytes(4)
    image = Image.new(mode, size, (red, green, blue, 255) if mode == "RGBA" else 0)
    left = (0, 0, size[0] // 2 - 1, size[1] - 1)
    fill = (blue, red, green, other) if mode == "RGBA" else other
    ImageDraw.Draw(image).rectangle(left, fill=fill)
    return image


def picture_of(image: Image.Image, form: str) -> bytes:
    """Return a file of that ``form`` with ``image`` in it."""
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG whose head tells of a size, and which has no pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"")
    chunks = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (head, pixels, b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


CASES: dict[Callable[[Maker], Request], int] = {
    right: 2, damaged: 3, odd_form: 3, unknown_model: 1, another_type: 2, too_large: 1,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""

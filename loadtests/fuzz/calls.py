"""Cases of calls by gRPC: right and wrong messages, metadata, deadlines, and what nobody serves."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from loadtests.fuzz import messages
from loadtests.fuzz.call import SERVICE, Call
from loadtests.fuzz.maker import HUGE, TOKEN, Maker
from loadtests.fuzz.messages import MODEL, RIGHT, parameter
from loadtests.fuzz.request import SECRET, Images
from loadtests.fuzz.wire import message

LIMIT = 16 * 2**20
"""The bytes of the largest tensor that is read."""
BATCHES = (1, 2, 3, 8)
"""The numbers of rows of right requests, which are never refused."""
BEFORE_WORK = ("INVALID_ARGUMENT", "NOT_FOUND")
"""The statuses of what is refused when it is read."""
LATE = ("DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE")
"""The statuses of what cannot be done in time."""
HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
CARS, LORRY = message((1, MODEL)), message((1, b"lorry"))
TOLD: tuple[tuple[str, bytes, str], ...] = (
    ("ServerLive", b"", "OK"),
    ("ServerReady", b"", "OK"),
    ("ServerMetadata", b"", "OK"),
    ("ModelReady", CARS, "OK"),
    ("ModelReady", LORRY, "NOT_FOUND"),
    ("ModelReady", b"", "INVALID_ARGUMENT"),
    ("ModelMetadata", CARS, "OK"),
    ("ModelMetadata", message((1, MODEL), (2, b"99")), "NOT_FOUND"),
    ("ModelConfig", CARS, "OK"),
    ("ModelConfig", LORRY, "NOT_FOUND"),
    ("ModelStatistics", b"", "OK"),
    ("ModelStatistics", CARS, "OK"),
    ("ModelStatistics", LORRY, "NOT_FOUND"),
    ("RepositoryIndex", b"", "OK"),
    ("RepositoryIndex", message((2, 1)), "OK"),
    (f"{HEALTH}Check", b"", "OK"),
    (f"{HEALTH}Check", message((1, SERVICE.strip("/").encode())), "OK"),
    (f"{HEALTH}Check", message((1, b"cars")), "NOT_FOUND"),
    (f"{HEALTH}Check", b"\xff", "INVALID_ARGUMENT"),
    (REFLECTION, message((7, b"")), "OK"),
    (REFLECTION, b"\xff", "INVALID_ARGUMENT"),
    (REFLECTION, message((4, b"inference.GRPCInferenceService")), "OK"),
    (REFLECTION, message((3, b"none.proto")), "OK"),
)
"""Methods beside inference, a message to each, and the status of its answer."""
UNKNOWN = ("ModelStreamInfer", "SystemSharedMemoryStatus", "", "modelinfer", "/other.Service/Call")
"""Methods that nobody serves."""
METADATA: tuple[tuple[str, str | bytes, str], ...] = (
    ("carfront-priority", "bulk", "OK"),
    ("carfront-priority", "interactive", "OK"),
    ("carfront-priority", "now", "INVALID_ARGUMENT"),
    ("carfront-priority", "", "INVALID_ARGUMENT"),
    ("traceparent", "00-zz-zz-zz", "OK"),
    ("authorization", "Basic " + SECRET.decode(), "OK"),
    ("x-api-key", SECRET.decode(), "OK"),
    ("trace-bin", bytes(range(256)), "OK"),
    ("x-a", "a" * 4000, "OK"),
    ("x-a", "a" * 30_000, "RESOURCE_EXHAUSTED"),
)
"""Metadata of a right request, and the status of its answer."""
LOADS: tuple[tuple[str, bytes, tuple[str, ...]], ...] = (
    ("RepositoryModelLoad", b"", ("INVALID_ARGUMENT",)),
    ("RepositoryModelLoad", message((2, b"lorry")), ("NOT_FOUND",)),
    ("RepositoryModelLoad", message((2, b"../cars")), ("INVALID_ARGUMENT",)),
    ("RepositoryModelUnload", message((2, b"lorry")), ("NOT_FOUND",)),
    *(
        (method, message((2, MODEL)) + parameter(*given, member=3), codes)
        for method in ("RepositoryModelLoad", "RepositoryModelUnload")
        for *given, codes in (
            (b"version", (3, b"99"), ("NOT_FOUND",)),
            (b"version", (3, b"newest"), ("INVALID_ARGUMENT",)),
            (b"version", (2, 1), ("INVALID_ARGUMENT",)),
            (b"config", (3, b"{}"), ("INVALID_ARGUMENT",)),
            (b"file:1/model.onnx", (4, b"x"), ("INVALID_ARGUMENT",)),
        )
    ),
)
"""What administrators cannot have loaded or unloaded, and the statuses of the answers."""


@dataclass
class CallMaker(Maker):
    """Makes the calls of one conversation."""

    latents: tuple[bytes, ...] = ()
    """The latents of the seeds from 0 on."""

    def call(self, kind: str, method: str, body: bytes = b"") -> Call:
        """Return a call of ``method``, a path or a name of the protocol, with an id of its own."""
        request_id = self.request_id()
        path = method if method.startswith("/") else SERVICE + method
        found = Call(kind, request_id, path, [body]).says("x-request-id", request_id)
        return found.says("x-api-key", self.key.decode()) if self.key else found

    def infer(self, kind: str, wanted: messages.Infer) -> Call:
        """Return a call for inference."""
        return self.call(kind, "ModelInfer", wanted.message)

    def control_call(self) -> Call:
        """Return a right call for images, whose answer must be those images."""
        n = self.rng.choice(BATCHES)
        seed = self.rng.randrange(len(self.latents) - n + 1)
        latents = b"".join(islice(self.latents, seed, seed + n))
        form = self.rng.choice((messages.infer, messages.typed))
        found = self.infer(f"call: control, {form.__name__}", form(latents))
        found.images = Images(seed, n, "raw")
        return found


def right(maker: CallMaker) -> Call:
    """Return a right call for inference in one of its many forms."""
    name = maker.rng.choice([*messages.RIGHT_ONES])
    found = maker.infer(f"call: {name}", messages.RIGHT_ONES[name])
    found.is_compressed = maker.rng.random() < 0.2
    return found


def wrong(maker: CallMaker) -> Call:
    """Return a call for inference that cannot be served."""
    if maker.rng.random() < 0.2:
        name = maker.rng.choice([*messages.OF_OTHERS])
        return maker.infer(f"call: {name}", messages.OF_OTHERS[name]).owes("NOT_FOUND")
    name = maker.rng.choice([*messages.WRONG_ONES])
    return maker.infer(f"call: {name}", messages.WRONG_ONES[name]).owes("INVALID_ARGUMENT")


def damaged(maker: CallMaker) -> Call:
    """Return a call for inference whose message is cut, or has bytes changed, or too many."""
    body = bytearray(RIGHT.message)
    for _ in range(maker.rng.randint(1, 3)):
        at = maker.rng.randrange(min(len(body), 60))  # behind that are numbers
        change = maker.rng.choice(("other", "more", "fewer"))
        if change == "other":
            body[at] ^= maker.rng.randrange(1, 256)
        elif change == "more":
            body[at:at] = maker.rng.randbytes(maker.rng.randint(1, 9))
        else:
            del body[at : at + maker.rng.randint(1, 9)]
    if maker.rng.random() < 0.3:
        del body[maker.rng.randrange(len(body)) :]
    found = maker.call("call: damaged", "ModelInfer", bytes(body))
    return found.owes("OK", *BEFORE_WORK)


def any_bytes(maker: CallMaker) -> Call:
    """Return a call of any method with any bytes."""
    method = maker.rng.choice([name for name, *_ in TOLD] + ["ModelInfer", f"{HEALTH}Watch"])
    body = maker.rng.choice(
        (
            maker.rng.choice(maker.odd.texts).encode(),
            message((maker.rng.choice((1, 2, 3)), maker.rng.choice(maker.odd.texts).encode())),
            maker.rng.randbytes(maker.rng.randrange(200)),
        )
    )
    found = maker.call(f"call: any bytes, {method}", method, body)
    if method.endswith("Watch"):
        found.most_answers = 1
        return found.owes("CANCELLED", *BEFORE_WORK)
    return found.owes("OK", *BEFORE_WORK)


def told(maker: CallMaker) -> Call:
    """Return a call of a method beside inference."""
    method, body, code = maker.rng.choice(TOLD)
    return maker.call(f"call: {method}", method, body).owes(code)


def unknown(maker: CallMaker) -> Call:
    """Return a call of a method that nobody serves."""
    found = maker.call("call: method of nobody", maker.rng.choice(UNKNOWN), RIGHT.message)
    found.is_for_library = True
    return found.owes("UNIMPLEMENTED")


def with_metadata(maker: CallMaker) -> Call:
    """Return a right call with odd metadata."""
    name, value, code = maker.rng.choice(METADATA)
    found = maker.infer(f"call: metadata {name}", RIGHT)
    found.is_for_library = code == "RESOURCE_EXHAUSTED"
    return found.says(name, value).owes(code)


def number_of_messages(maker: CallMaker) -> Call:
    """Return a call without a message, or with several."""
    found = maker.infer("call: several messages", RIGHT)
    found.messages *= maker.rng.choice((0, 2, 5))
    if not found.messages:
        found.kind = "call: no message"
        found.owes("INVALID_ARGUMENT")
    return found


def hurried(maker: CallMaker) -> Call:
    """Return a call whose deadline is soon, or which is cancelled at once."""
    found = maker.infer("call: soon late", RIGHT).owes("OK", *LATE)
    if maker.rng.random() < 0.5:
        found.kind, found.most_answers = "call: cancelled", 0
    else:
        found.timeout_s = maker.rng.choice((1e-6, 1e-4, 1e-3, 3e-3))
    return found


def large(maker: CallMaker) -> Call:
    """Return a call with a message that is too large, or inflates beyond that, or nearly is."""
    if maker.rng.random() < 0.5:
        rows = 4096 if maker.rng.random() < 100 * HUGE else 64
        found = maker.infer(f"call: {rows} rows", messages.infer(messages.ROW * rows))
        return found.owes("OK", "UNAVAILABLE", "DEADLINE_EXCEEDED")
    found = maker.call("call: too large", "ModelInfer", bytes(LIMIT + 2**20))
    found.is_for_library = True
    if maker.rng.random() < 0.5:
        found.kind, found.is_compressed = "call: too large once inflated", True
    return found.owes("RESOURCE_EXHAUSTED")


def administration(maker: CallMaker) -> Call:
    """Return a call to load or unload a model, with and without the right to do so."""
    method, body, codes = maker.rng.choice(LOADS)
    found = maker.call(f"call: {method}", method, body).owes(*codes)
    if maker.rng.random() < 0.3:
        found.kind += ", not authorized"
        given = maker.rng.choice(("", "Bearer", "Bearer x", f"Basic {TOKEN}", TOKEN))
        return found.says("authorization", given).owes("UNAUTHENTICATED")
    if maker.rng.random() < 0.2:
        served = parameter(b"version", (3, maker.version.encode()), member=3)
        body = message((2, MODEL)) + served
        found = maker.call("call: load of what is served", "RepositoryModelLoad", body)
    return found.says("authorization", f"Bearer {TOKEN}")


CASES: dict[Callable[[CallMaker], Call], int] = {
    right: 5, wrong: 6, damaged: 5, any_bytes: 4, told: 4, unknown: 1, with_metadata: 2,
    number_of_messages: 1, hurried: 2, large: 1, administration: 2,
}  # fmt: skip
"""The cases, and how often each comes in relation to the others."""

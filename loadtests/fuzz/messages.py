"""Messages of the Open Inference Protocol over gRPC: right ones, and what is changed of these."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

from loadtests.fuzz.wire import Value, message

MODEL = b"cars-dcgan"
LATENT_DIM = 100
ROW = struct.pack(f"<{LATENT_DIM}f", *[0.25] * LATENT_DIM)
"""One row of latents."""


@dataclass(frozen=True)
class Tensor:
    """An input; without changes it is one row of latents, whose numbers are elsewhere."""

    name: bytes = b"latents"
    datatype: bytes = b"FP32"
    shape: tuple[int, ...] = (1, LATENT_DIM)
    more: bytes = b""
    """Further fields."""

    @property
    def message(self) -> bytes:
        sizes = [(3, size) for size in self.shape]
        return message((1, self.name), (2, self.datatype), *sizes) + self.more


@dataclass(frozen=True)
class Infer:
    """A request for inference; without changes it asks for the image of ``ROW``."""

    model: bytes = MODEL
    version: bytes = b""
    inputs: tuple[Tensor, ...] = (Tensor(),)
    raw: tuple[bytes, ...] = (ROW,)
    more: bytes = b""
    """Further fields."""

    @property
    def message(self) -> bytes:
        inputs = [(5, tensor.message) for tensor in self.inputs]
        raw = [(7, data) for data in self.raw]
        return message((1, self.model), (2, self.version), *inputs) + self.more + message(*raw)

    def of(self, tensor: Tensor) -> "Infer":
        """Return this request with that input alone."""
        return replace(self, inputs=(tensor,))


def infer(latents: bytes) -> Infer:
    """Return the request for the images of rows of latents."""
    rows = len(latents) // len(ROW)
    return replace(RIGHT.of(Tensor(shape=(rows, LATENT_DIM))), raw=(latents,))


def typed(latents: bytes) -> Infer:
    """Return the same request with the numbers in the tensor."""
    (tensor,) = infer(latents).inputs
    return replace(RIGHT.of(replace(tensor, more=contents((6, latents)))), raw=())


def contents(*fields: tuple[int, Value]) -> bytes:
    """Return the member of a tensor that has its numbers, in ``fields`` by their types."""
    return message((5, message(*fields)))


def parameter(name: bytes, *choice: tuple[int, Value], member: int = 4) -> bytes:
    """Return the field ``member`` with a parameter, whose value is the field ``choice``."""
    return message((member, message((1, name), (2, message(*choice)))))


def output(name: bytes, more: bytes = b"") -> bytes:
    """Return the wish for an output."""
    return message((6, message((1, name)) + more))


def shaped(*shape: int) -> Infer:
    """Return a request for one row that is said to have that shape."""
    return RIGHT.of(Tensor(shape=shape))


RIGHT = Infer()
RIGHT_ONES: Mapping[str, Infer] = {
    "id": replace(RIGHT, more=message((3, "a \u00e9 \u2603".encode()))),
    "timeout": replace(RIGHT, more=parameter(b"timeout", (2, 30_000_000))),
    "priority": replace(RIGHT, more=parameter(b"priority", (2, 3))),
    "parameters that nobody knows": replace(RIGHT, more=parameter(b"x", (1, 1)) * 3),
    "parameter without a value": replace(RIGHT, more=parameter(b"x")),
    "images": replace(RIGHT, more=output(b"images")),
    "images twice": replace(RIGHT, more=output(b"images") * 2),
    "float images": replace(RIGHT, more=output(b"images_float")),
    "both outputs": replace(RIGHT, more=output(b"images_float") + output(b"images")),
    "fields that nobody knows": replace(RIGHT, more=message((99, 7), (2**29 - 1, b"x"))),
    "shape in one field": RIGHT.of(Tensor(shape=(), more=message((3, b"\x01\x64")))),
    "numbers one by one": replace(
        RIGHT.of(Tensor(more=message((5, b"".join(b"\x35" + ROW[:4] for _ in range(100)))))), raw=()
    ),
    "largest floats": replace(RIGHT, raw=(struct.pack("<f", 3.4e38) * LATENT_DIM,)),
    "smallest floats": replace(RIGHT, raw=(b"\x01\0\0\x80" * LATENT_DIM,)),
}
"""Requests for one image, which are answered with it."""
WRONG_ONES: Mapping[str, Infer] = {
    "no model": replace(RIGHT, model=b""),
    "id that is no UTF-8": replace(RIGHT, more=message((3, b"\xff"))),
    "no inputs": replace(RIGHT, inputs=()),
    "input twice": replace(RIGHT, inputs=(Tensor(),) * 2, raw=(ROW,) * 2),
    "more inputs than bytes": replace(RIGHT, inputs=(Tensor(),) * 2),
    "input of another name": RIGHT.of(Tensor(name=b"images")),
    "input without a name": RIGHT.of(Tensor(name=b"")),
    "class of no classes": replace(
        RIGHT, inputs=(Tensor(), Tensor(b"class", b"INT64", (1, 1))), raw=(ROW, bytes(8))
    ),
    "doubles": RIGHT.of(Tensor(datatype=b"FP64")),
    "no datatype": RIGHT.of(Tensor(datatype=b"")),
    "datatype in lower case": RIGHT.of(Tensor(datatype=b"fp32")),
    "no shape": shaped(),
    "narrow": shaped(1, 99),
    "no rows": shaped(0, 100),
    "fewer than no rows": shaped(-1, 100),
    "turned": shaped(100, 1),
    "flat": shaped(100),
    "three dimensions": shaped(1, 1, 100),
    "size that overflows": shaped(2**62, 100),
    "size that overflows to 0": shaped(2**63, 2**63),
    "more rows than bytes": shaped(2, 100),
    "too many rows": replace(shaped(4097, 100), raw=(bytes(4097 * 400),)),
    "no bytes": replace(RIGHT, raw=(b"",)),
    "nothing": replace(RIGHT, raw=()),
    "byte too few": replace(RIGHT, raw=(ROW[:-1],)),
    "byte too many": replace(RIGHT, raw=(ROW + b"x",)),
    "NaN": replace(RIGHT, raw=(ROW[:-4] + b"\0\0\xc0\x7f",)),
    "infinity": replace(RIGHT, raw=(b"\0\0\x80\xff" + ROW[4:],)),
    "numbers twice": RIGHT.of(Tensor(more=contents((6, ROW)))),
    "too few numbers": replace(RIGHT.of(Tensor(more=contents((6, ROW[:-4])))), raw=()),
    "doubles for floats": replace(RIGHT.of(Tensor(more=contents((7, bytes(800))))), raw=()),
    "texts for numbers": replace(RIGHT.of(Tensor(more=contents((8, ROW)))), raw=()),
    "shared memory": RIGHT.of(Tensor(more=parameter(b"shared_memory_region", (3, b"a")))),
    "unknown output": replace(RIGHT, more=output(b"logits")),
    "output without a name": replace(RIGHT, more=output(b"")),
    "classification": replace(
        RIGHT, more=output(b"images", parameter(b"classification", (2, 3), member=2))
    ),
    "timeout below 0": replace(RIGHT, more=parameter(b"timeout", (2, -1))),
    "timeout in words": replace(RIGHT, more=parameter(b"timeout", (3, b"soon"))),
    "class": replace(RIGHT, more=parameter(b"class", (3, b"dog"))),
}
"""Requests that cannot be served."""
OF_OTHERS: Mapping[str, Infer] = {
    "another model": replace(RIGHT, model=b"lorry"),
    "model with a slash": replace(RIGHT, model=b"cars-dcgan/1"),
    "model of 100 KB": replace(RIGHT, model=b"a" * 100_000),
    "another version": replace(RIGHT, version=b"99"),
    "version of letters": replace(RIGHT, version=b"newest"),
    "version below 0": replace(RIGHT, version=b"-1"),
}
"""Requests to models that are not there."""

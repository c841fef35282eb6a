"""Messages of protobuf as bytes: written as no library would write them too, and read.

Source: protobuf's documentation of its encoding.
"""

NUMBER, BYTES = 0, 2
"""The wire types of numbers, and of what has a length: bytes, texts, messages, packed lists."""

Value = int | bytes


def varint(value: int) -> bytes:
    """Return ``value``, of 64 bits, with seven bits in each byte."""
    value %= 2**64
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))


def message(*fields: tuple[int, Value]) -> bytes:
    """Return the message of ``fields``, each a number and a value, in their order."""
    return b"".join(field(number, value) for number, value in fields)


def field(number: int, value: Value) -> bytes:
    """Return the field of a message that has this ``number``."""
    if isinstance(value, int):
        return varint(number << 3 | NUMBER) + varint(value)
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def values(data: bytes, number: int) -> list[Value]:
    """Return the values of the fields with this ``number``, in their order.

    Raises:
        ValueError: ``data`` is no message of numbers and bytes alone.
    """
    found: list[Value] = []
    at = 0
    while at < len(data):
        tag, at = _varint_at(data, at)
        value: Value
        value, at = _varint_at(data, at)
        if tag & 7 == BYTES:
            begin, at = at, at + int(value)
            value = data[begin:at]
        elif tag & 7 != NUMBER:
            raise ValueError(f"a field has the wire type {tag & 7}")
        if at > len(data):
            raise ValueError("the message ends within a field")
        if tag >> 3 == number:
            found.append(value)
    return found


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at ``at``, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("the message ends within a number")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at

"""The head of an answer, checked: nothing is sent that a caller would read as something else."""

from collections.abc import Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from time import time

WITHOUT_BODY = ("204", "304")
"""The statuses of answers that have no body."""

CHUNKS_SINCE = "HTTP/1.1"
"""The version of HTTP whose bodies may come in chunks."""

Field = tuple[str, str]


def answer_head(
    status: str, fields: Sequence[Field], size: int | None, method: str, version: str, keeps: bool
) -> tuple[bytes, bool]:
    """Return the head of an answer with ``status`` and ``fields``, whose body has ``size`` bytes.

    A size of None is not known: the body comes in chunks, or ends with the connection in HTTP/1.0.
    Return as well whether the connection goes on: if it ``keeps``, and ``fields`` do not say that
    it ends. ``method`` and ``version`` are the request's.

    Raises:
        ValueError: a field would end its line, is wrong about the body, or is no latin-1.
        TypeError: a field is no text.
    """
    given = {name.lower(): value for name, value in fields}
    more: list[Field] = []
    length = given.get("content-length")
    if status[:3] in WITHOUT_BODY:
        if size or length not in (None, "0"):
            raise ValueError(f"a body of {length or size} bytes for {status}")
    elif size is None:
        if length is not None:
            raise ValueError(f"a length of {length} for a body of none")
        if version == CHUNKS_SINCE:
            more.append(("Transfer-Encoding", "chunked"))
        else:
            keeps = False
    elif length is None:
        if size or method != "HEAD":  # nobody may know the length of what was not made
            more.append(("Content-Length", str(size)))
    elif length != str(size) and method != "HEAD":
        raise ValueError(f"a length of {length} for {size} bytes")
    if "connection" in given:
        keeps = keeps and given["connection"].lower() != "close"
    elif not keeps:
        more.append(("Connection", "close"))
    elif version == "HTTP/1.0":
        more.append(("Connection", "keep-alive"))
    if "date" not in given:
        more.append(("Date", _date(int(time()))))
    lines = [f"HTTP/1.1 {status}\r\n"]
    lines += [name + ": " + value + "\r\n" for name, value in (*fields, *more)]
    head = "".join(lines)
    if not head.count("\r") == head.count("\n") == len(lines):
        raise ValueError(f"an end of line in {lines!r}")
    return head.encode("latin-1") + b"\r\n", keeps


def whole(result: Iterable[bytes]) -> bytes:
    """Return the body that an application answers with; one that is whole is not copied."""
    parts = result if isinstance(result, tuple | list) else list(result)
    return parts[0] if len(parts) == 1 else b"".join(parts)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)

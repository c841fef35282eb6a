"""The file of API keys: who may ask, as what, and how much; ``python -m server.keys`` makes a key.

A line is a name, a role and the SHA-256 of the key in hexadecimal, with spaces between, and limits
behind them if the key has any::

    # name   role   SHA-256 of the key
    alice    user   d4a9...e1  images_per_s=50 burst=4096 in_flight=512
    nightly  admin  07bb...5c

Nothing here tells what is in the file: somebody may have written the key itself there.
"""

import argparse
import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass, replace
from pathlib import Path

USER, ADMIN = "user", "admin"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
DIGEST = re.compile(r"[0-9a-fA-F]{64}")
RATE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")
COUNT = re.compile(r"[0-9]{1,7}")
MOST_KEYS = 1024
"""The largest number of keys in a file: each has series of its own in the metrics."""
MOST_BYTES = 2**20
PREFIX = "carfront_"
"""What a key begins with that is made here, for those who look for secrets in the wrong places."""


class KeysFault(Exception):
    """The file cannot be used; the message says why, and nothing of what is in it."""


@dataclass(frozen=True)
class Key:
    """One key, as the file tells of it."""

    name: str
    role: str
    digest: bytes
    """The SHA-256 of the key."""
    images_per_s: float = 0.0
    """The images a second that the key may draw in the long run; 0 is no limit."""
    burst: int = 0
    """The images that the key may draw at once after a pause; 0 where there is no limit."""
    in_flight: int = 0
    """The images that the key may have in flight, waiting or being drawn; 0 is no limit."""

    @property
    def is_admin(self) -> bool:
        """Whether the key may load and unload models."""
        return self.role == ADMIN

    @property
    def most_at_once(self) -> int:
        """The images that one request may ask for at most; 0 is no limit."""
        return min(filter(None, (self.burst, self.in_flight)), default=0)

    def line(self) -> str:
        """Return the line of the file that tells of this key."""
        limits = ("images_per_s", "burst", "in_flight")
        told = [f"{name}={value:.12g}" for name in limits if (value := getattr(self, name))]
        return " ".join([self.name, self.role, self.digest.hex(), *told])


def digest_of(key: bytes) -> bytes:
    """Return what the file keeps of a ``key``."""
    return hashlib.sha256(key).digest()


def read(path: Path) -> str:
    """Return the text of the file at ``path``.

    Raises:
        KeysFault: there is no file that can be read as a text.
    """
    try:
        data = _bytes_of(path)
    except (OSError, ValueError) as error:
        raise KeysFault(f"it cannot be read: {_reason(error)}") from error
    if len(data) > MOST_BYTES:
        raise KeysFault(f"it has more than {MOST_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise KeysFault("it is no UTF-8") from None


def _bytes_of(path: Path) -> bytes:
    # Who opens a pipe without O_NONBLOCK waits for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise KeysFault("it is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MOST_BYTES + 1)
    finally:
        os.close(descriptor)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def parse(text: str) -> list[Key]:
    """Return the keys in the ``text`` of a file.

    Raises:
        KeysFault: a line is malformed, two lines tell of one key, or there are none or too many.
    """
    keys: list[Key] = []
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if fields and not fields[0].startswith("#"):
            try:
                keys.append(_parse_line(fields))
            except KeysFault as fault:
                raise KeysFault(f"line {number}: {fault}") from None
    for what in ("name", "digest"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise KeysFault(f"two lines have one {what}")
    if not 0 < len(keys) <= MOST_KEYS:
        raise KeysFault(f"it has {len(keys)} keys; wanted 1 to {MOST_KEYS}")
    return keys


def _parse_line(fields: list[str]) -> Key:
    if len(fields) < 3:
        raise KeysFault("it has fewer than three fields; wanted a name, a role and a SHA-256")
    name, role, digest, *limits = fields
    if not NAME.fullmatch(name):
        raise KeysFault("the name is none; wanted letters, digits, '.', '_' and '-', 63 at most")
    if role not in (USER, ADMIN):
        raise KeysFault(f"the role is none; wanted {USER} or {ADMIN}")
    if not DIGEST.fullmatch(digest):
        raise KeysFault("the SHA-256 is none; wanted 64 hexadecimal digits")
    return _with_limits(Key(name, role, bytes.fromhex(digest)), limits)


def _with_limits(key: Key, texts: list[str]) -> Key:
    """Return ``key`` with the limits that ``texts`` tell, each as ``name=value``."""
    told = dict(text.partition("=")[::2] for text in texts)
    if len(told) < len(texts) or not told.keys() <= {"images_per_s", "burst", "in_flight"}:
        raise KeysFault("wanted behind the SHA-256 are images_per_s=, burst= and in_flight=, once")
    rate = float(_number("images_per_s", told, RATE, "above 0 and below 1000000"))
    burst = int(_number("burst", told, COUNT, "from 1 to 9999999"))
    in_flight = int(_number("in_flight", told, COUNT, "from 1 to 9999999"))
    if burst and not rate:
        raise KeysFault("burst= is a limit only with images_per_s=")
    if rate and not burst:
        burst = max(1, int(rate))  # a second's
    return replace(key, images_per_s=rate, burst=burst, in_flight=in_flight)


def _number(name: str, told: dict[str, str], pattern: re.Pattern[str], wanted: str) -> str:
    """Return the number of the limit ``name``; 0 if it is not told."""
    text = told.get(name)
    if text is not None and not (pattern.fullmatch(text) and text.isascii() and float(text)):
        raise KeysFault(f"{name}= has no number; wanted one {wanted}")
    return text or "0"


def main(arguments: list[str] | None = None) -> None:
    """Make a key: print it, and below it the line for the file."""
    parser = argparse.ArgumentParser(
        prog="python -m server.keys",
        description="Make an API key. The first line of the output is the key, for who is to have "
        "it: it is kept nowhere. The second line is for the file of keys.",
    )
    parser.add_argument("name", help="the name of who has the key, in the metrics")
    parser.add_argument("--role", choices=(USER, ADMIN), default=USER)
    parser.add_argument("--images-per-s", metavar="N", help="the images a second in the long run")
    parser.add_argument("--burst", metavar="N", help="the images at once after a pause")
    parser.add_argument("--in-flight", metavar="N", help="the images waiting or being drawn")
    told = vars(parser.parse_args(arguments))
    secret = PREFIX + secrets.token_urlsafe(32)
    limits = ("images_per_s", "burst", "in_flight")
    fields = [f"{name}={told[name]}" for name in limits if told[name] is not None]
    try:
        key = _parse_line([told["name"], told["role"], digest_of(secret.encode()).hex(), *fields])
    except KeysFault as fault:
        parser.error(str(fault))
    print(secret, key.line(), sep="\n")


if __name__ == "__main__":
    main()

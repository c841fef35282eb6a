"""The keys of a server that wants one, and what callers send as theirs."""

import hashlib
from dataclasses import dataclass

from loadtests.fuzz.maker import TOKEN
from loadtests.fuzz.request import SECRET

API_KEY, AUTHORIZATION = "X-API-Key", "Authorization"


@dataclass(frozen=True)
class Holder:
    """Who holds a key."""

    name: str
    limits: str = ""
    """The limits of the key, as the file has them."""
    most: int = 0
    """The images that the key may ask for at once; 0 is no limit."""
    is_admin: bool = False

    @property
    def key(self) -> bytes:
        return SECRET + b"-" + self.name.encode()

    @property
    def digest(self) -> str:
        """What the file has of the key."""
        return hashlib.sha256(self.key).hexdigest()

    @property
    def line(self) -> str:
        """The line of the file."""
        return f"{self.name} {'admin' if self.is_admin else 'user'} {self.digest} {self.limits}\n"


FREE = Holder("free")
NIGHTLY = Holder("nightly", is_admin=True)
SLOW = Holder("slow", "images_per_s=1 burst=8", most=8)
NARROW = Holder("narrow", "in_flight=4", most=4)
BOTH = Holder("both", "images_per_s=2 burst=16 in_flight=3", most=3)
HOLDERS = (FREE, NIGHTLY, SLOW, NARROW, BOTH)
OF_TOKEN = Holder("token", is_admin=True)
"""Who sends the administrators' token, which is in no file."""


def text() -> str:
    """Return the text of the file of keys."""
    return "".join(holder.line for holder in HOLDERS)


@dataclass(frozen=True)
class Given:
    """What a caller sends to say who it is."""

    name: str
    fields: tuple[tuple[str, bytes], ...] = ()
    """Header fields, or metadata."""
    holder: Holder | None = None
    """Whose key it is; None if it is nobody's."""


def right(holder: Holder) -> list[Given]:
    """Return the ways in which the holder of a key can send it."""
    key = holder.key
    return [
        Given("bearer", ((AUTHORIZATION, b"Bearer " + key),), holder),
        Given("bearer in upper case", ((AUTHORIZATION, b"BEARER " + key),), holder),
        Given("bearer and spaces", ((AUTHORIZATION, b"Bearer   " + key),), holder),
        Given("key", ((API_KEY, key),), holder),
        Given(
            "bearer beside a wrong key",
            ((API_KEY, b"wrong"), (AUTHORIZATION, b"Bearer " + key)),
            holder,
        ),
        Given(
            "key beside another scheme", ((AUTHORIZATION, b"Basic eA=="), (API_KEY, key)), holder
        ),
    ]


RIGHT = [given for holder in HOLDERS for given in right(holder)]
RIGHT.append(Given("token", ((AUTHORIZATION, b"Bearer " + TOKEN.encode()),), OF_TOKEN))
KEY = FREE.key
WRONG = (
    Given("nothing"),
    Given("empty key", ((API_KEY, b""),)),
    Given("unknown key", ((API_KEY, b"wrong"),)),
    Given("name of a key", ((API_KEY, FREE.name.encode()),)),
    Given("digest of a key", ((API_KEY, FREE.digest.encode()),)),
    Given("line of a key", ((API_KEY, FREE.line.strip().encode()),)),
    Given("part of a key", ((API_KEY, KEY[:-1]),)),
    Given("key and more", ((API_KEY, KEY + b"x"),)),
    Given("two keys in one", ((API_KEY, KEY + b"," + KEY),)),
    Given("key of 4,000 bytes", ((API_KEY, KEY * 100),)),
    Given("bearer without a token", ((AUTHORIZATION, b"Bearer"),)),
    Given("unknown bearer", ((AUTHORIZATION, b"Bearer wrong"),)),
    Given("bearer without its scheme", ((AUTHORIZATION, KEY),)),
    Given("another scheme", ((AUTHORIZATION, b"Basic " + KEY),)),
    Given("wrong bearer beside a key", ((AUTHORIZATION, b"Bearer wrong"), (API_KEY, KEY))),
)
"""What nobody is known by."""

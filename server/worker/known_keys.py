"""The keys that are known now: the file is looked at again and again, and a bad one is not taken.

The last good file is kept in the runtime directory too, for HTTP workers that begin while the file
is a bad one.
"""

import hmac
import logging
from pathlib import Path

from server import keys
from server.errors import KeyMissing, KeyUnknown
from server.ipc.atomic_file import write_whole
from server.keys import ADMIN, Key, KeysFault, digest_of
from server.worker.caller import Caller
from server.worker.event_loop import EventLoop, Stop
from server.worker.key_limits import KeyLimits

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""The seconds between two looks at the file."""
TOKEN_NAME = "CARFRONT_ADMIN_TOKEN"
"""The name, in the metrics, of who sends the administrators' token."""

Signature = tuple[int, ...] | None


class KnownKeys:
    """The callers of the keys in the file at ``path``, and of the administrators' token.

    ``copy`` is where the last good file is kept; None keeps it nowhere.
    """

    def __init__(
        self, path: Path, copy: Path | None, limits: KeyLimits, admin_token: str = ""
    ) -> None:
        self._path = path
        self._copy = copy
        self._limits = limits
        token = admin_token.encode()
        self._token_key = Key(TOKEN_NAME, ADMIN, digest_of(token)) if token else None
        self._callers: dict[bytes, Caller] = {}
        """The callers by the SHA-256 of their keys."""
        self._seen: Signature = None

    def begin(self) -> None:
        """Read the file, or the copy of the last good one where the file is a bad one.

        Raises:
            KeysFault: neither is good.
        """
        self._seen = _signature(self._path)
        try:
            text = self._load(self._path)
        except KeysFault as fault:
            if self._copy is None or not self._copy.exists():
                raise
            self._load(self._copy)
            self._log_refused(fault)
            return
        self._keep(text)

    def watch(self, loop: EventLoop) -> Stop:
        """Look at the file from now on, until that is stopped."""
        return loop.call_periodically(LOOK_S, lambda: self._look(loop))

    def find(self, given: bytes) -> Caller | None:
        """Return whose key is ``given``, in a time that tells nothing of the keys there are."""
        digest = digest_of(given)
        caller = self._callers.get(digest)
        if caller is None or not hmac.compare_digest(caller.key.digest, digest):
            return None
        return caller

    def holder(self, authorization: str, api_key: str | None) -> Caller:
        """Return who sent the fields ``Authorization``, which goes first, and ``X-API-Key``.

        Their bytes are decoded as Latin-1.

        Raises:
            KeyMissing, KeyUnknown: nobody whose key is known.
        """
        given = _bearer(authorization)
        if given is None:
            given = api_key
        if given is None:
            raise KeyMissing
        caller = self.find(given.encode("latin-1", "replace"))
        if caller is None:
            raise KeyUnknown
        return caller

    def _look(self, loop: EventLoop) -> None:
        """Take the file if it has changed; volumes may hang, which delays nobody else."""
        signature = loop.in_thread(_signature, self._path)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            text = loop.in_thread(keys.read, self._path)
            self._take(keys.parse(text))
        except KeysFault as fault:
            self._log_refused(fault)
            return
        log.info("the file of keys has changed: %d keys", len(self._callers))
        self._keep(text)

    def _load(self, path: Path) -> str:
        text = keys.read(path)
        self._take(keys.parse(text))
        return text

    def _take(self, found: list[Key]) -> None:
        limited = [key for key in found if key.most_at_once]
        rows = dict(zip(limited, self._limits.rows([key.name for key in limited]), strict=True))
        known = [self._token_key, *found] if self._token_key else found
        self._callers = {key.digest: Caller(key, self._limits, rows.get(key)) for key in known}

    def _keep(self, text: str) -> None:
        if self._copy is not None:
            try:
                write_whole(self._copy, text)
            except OSError as error:
                log.error("the file of keys cannot be kept for HTTP workers to come: %s", error)

    def _log_refused(self, fault: KeysFault) -> None:
        log.error("CARFRONT_API_KEYS_FILE is not taken, and the keys before it count: %s", fault)


def _bearer(authorization: str) -> str | None:
    """Return the token that the header field has; None if it has another scheme, or none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def _signature(path: Path) -> Signature:
    """Return what changes with the file that ``path`` leads to; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

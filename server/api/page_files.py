"""The page for people, answered before keys are asked for: there is nothing secret in its files.

The page itself asks for all that it shows, with the key that somebody has given it.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from server.api.context import CONTEXT
from server.api.outer_address import prefix_of
from server.errors import ERROR

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FOLDER = Path(__file__).parents[1] / "page"
INDEX = "index.html"
FILES = "/page/"
"""The path below which the page's files are, behind a digest of them all."""
ROUTE = "/page/<digest>/<file>"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What the page may load: only what this server has, and no script or style within the page."""
FOR_EVER = "public, max-age=31536000, immutable"


class PageFile(NamedTuple):
    content_type: str
    body: bytes


class PageFiles:
    """A WSGI application that answers browsers at ``/`` and the page's files; ``app`` the rest."""

    def __init__(self, app: "WSGIApplication", folder: Path = FOLDER) -> None:
        self._app = app
        self._files = {
            path.name: PageFile(TYPES[path.suffix], path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        told = hashlib.sha256()
        for name, file in self._files.items():
            told.update(b"%s %d " % (name.encode(), len(file.body)) + file.body)
        self.digest = told.hexdigest()[:16]
        """The part of the files' URLs that is another when a file is."""
        self._index = (folder / INDEX).read_text().replace("{{ digest }}", self.digest)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/" and _wants_html(environ):
            return self._answer(environ, start_response, path, self._page(environ), "no-cache")
        if path.startswith(FILES):
            digest, _, name = path.removeprefix(FILES).partition("/")
            if file := self._files.get(name):
                # A page that an older server has sent goes on with the files of this one.
                kept = FOR_EVER if digest == self.digest else "no-cache"
                return self._answer(environ, start_response, ROUTE, file, kept)
        return self._app(environ, start_response)

    def _answer(
        self,
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
        route: str,
        file: PageFile,
        kept: str,
    ) -> Iterable[bytes]:
        """Return ``file``; leave to the application what is no request for it, or a broken one."""
        if ERROR in environ or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self._app(environ, start_response)
        environ[CONTEXT].route = route
        fields = [
            ("Content-Type", file.content_type),
            ("Content-Length", str(len(file.body))),
            ("Cache-Control", kept),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", POLICY),
            ("Referrer-Policy", "same-origin"),
        ]
        if route == "/":
            fields.append(("Vary", "Accept, X-Forwarded-Prefix"))
        start_response("200 OK", fields)
        return () if environ["REQUEST_METHOD"] == "HEAD" else (file.body,)

    def _page(self, environ: "WSGIEnvironment") -> PageFile:
        """Return the page, whose links are relative to where the proxy says that it is.

        Without a proxy's word they are relative to the page's own address, which is right wherever
        that ends with a slash.
        """
        prefix = prefix_of(environ)
        base = f'<base href="{prefix}/">\n' if prefix else ""
        page = self._index.replace("{{ base }}\n", base)
        return PageFile("text/html; charset=utf-8", page.encode())


def _wants_html(environ: "WSGIEnvironment") -> bool:
    """Tell whether the caller prefers a page to JSON; programs mostly say nothing."""
    accepted = parse_accept_header(environ.get("HTTP_ACCEPT"), MIMEAccept)
    return accepted.best_match(["application/json", "text/html"]) == "text/html"

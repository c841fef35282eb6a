"""Cases of routes: all there are, with right and wrong methods; and what each may answer."""

import re
from collections.abc import Callable

from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import ANSWER, Images, Request, Variant

VERSIONED = b"/v1/models/cars-dcgan/versions/%b/images/7.png"
ROUTES = (
    Variant("page", b"/", ANSWER, (200,)),
    Variant("healthz", b"/healthz", ANSWER, (200,)),
    Variant("readyz", b"/readyz", ANSWER, (200,)),
    Variant("metrics", b"/metrics", ANSWER, (200,)),
    Variant("image", b"/v1/images/7.png", ANSWER, (200,)),
    Variant("image of a version", VERSIONED, ANSWER, (200,)),
    Variant("openapi", b"/openapi.json", ANSWER, (200,)),
    Variant("docs", b"/docs", ANSWER, (200,)),
    Variant("docs, style", b"/docs.css", ANSWER, (200,)),
    Variant("grid", b"/v1/grid.webp?rows=2&cols=2", ANSWER, (200,)),
    Variant("morph", b"/v1/morph.gif?from=7&to=8&frames=3", ANSWER, (200,)),
)
"""The routes that are asked with GET."""
POSTED = (
    b"/v1/images",
    b"/v1/restore",
    b"/v2/repository/index",
    b"/v2/repository/models/cars-dcgan/load",
)
"""The routes that are asked with POST."""
DOCUMENTED = {
    r"/": {200, 503},
    r"/openapi.json|/docs|/docs.css": {200, 503},
    r"/healthz": {200},
    r"/readyz": {200, 503},
    r"/metrics": {200},
    r"/v1/images/.*|/v1/grid.*|/v1/morph.*": {200, 304, 400, 404, 406, 503, 504},
    r"/v1/models/[^/]*(/(versions|labels)/[^/]*)?:predict": {
        200,
        400,
        404,
        413,
        415,
        503,
        504,
    },
    r"/v1/models/.*": {200, 304, 400, 404, 406, 503, 504},
    r"/v1/images": {200, 400, 404, 406, 413, 415, 503, 504},
    r"/v1/restore": {200, 400, 404, 413, 415, 503, 504},
    r"/v2/?|/v2/health/.*|/v2/models": {200, 503},
    r"/v2/models/.*/infer": {200, 400, 404, 413, 415, 503, 504},
    r"/v2/models/.*": {200, 404, 503},
    r"/v2/repository/index": {200, 400, 413, 415},
    r"/v2/repository/models/.*/(load|unload)": {200, 400, 401, 403, 404, 413, 415, 503},
}
"""The statuses of each route, by a pattern of its path; server/README.md names them."""
OF_KEYS = {401, 403, 429}
"""The statuses of a server that wants keys, at any route."""
ANYWHERE = {400, 404, 405, 408, 413, 414, 417, 431, 501, 505}
"""The statuses of requests that reach no route: malformed ones, wrong methods, unknown paths."""


def route(maker: Maker) -> Request:
    """Return a right request of any route that is asked with GET."""
    variant = maker.rng.choice(ROUTES)
    request = maker.request(f"route: {variant.name}").owes(variant.owed, variant.statuses)
    request.target = variant.value.replace(b"%b", maker.version.encode())
    if variant.name.startswith("image"):
        request.images = Images(7)
    if maker.rng.random() < 0.3:
        request.fields.append(b"Accept: text/html,application/xhtml+xml,*/*;q=0.8")
    return request


def head(maker: Maker) -> Request:
    """Return a HEAD request of any route, whose answer has no body."""
    request = route(maker)
    request.kind = f"HEAD of {request.kind}"
    request.method, request.images = b"HEAD", None
    return request


def wrong_method(maker: Maker) -> Request:
    """Return a request with a method that its route does not have."""
    asked = maker.rng.random() < 0.5
    targets = [x.value.replace(b"%b", b"1") for x in ROUTES] if asked else POSTED
    method = maker.rng.choice(("POST" if asked else "GET", "PUT", "DELETE", "PATCH", "TRACE"))
    request = maker.request(f"wrong method: {method}", method).owes(ANSWER, (405,))
    request.target = maker.rng.choice(targets)
    if method in ("POST", "PUT", "PATCH"):
        request.with_body(maker.rng.choice((b"", b"{}")))
    return request


def options(maker: Maker) -> Request:
    """Return an OPTIONS request of a route or of the server, or a CONNECT."""
    request = maker.request("OPTIONS", "OPTIONS").owes(ANSWER, (200, 204, 404, 405))
    request.target = maker.rng.choice((b"*", b"/", *POSTED))
    if maker.rng.random() < 0.3:
        request.kind, request.method = "CONNECT", b"CONNECT"
        request.target = maker.rng.choice((b"carfront.test:80", b"/healthz"))
        request.owes(ANSWER, (400, 404, 405, 501))
    return request


def documented(request: Request) -> set[int]:
    """Return the statuses that the server may answer to ``request`` according to its README."""
    path = re.sub(rb"^[A-Za-z]+://[^/]*", b"", request.target).partition(b"?")[0].decode("latin-1")
    anywhere = ANYWHERE | OF_KEYS if request.needs_key else ANYWHERE
    for pattern, statuses in DOCUMENTED.items():
        if re.fullmatch(pattern, path, re.DOTALL):
            return statuses | anywhere
    return anywhere | {200, 204, 503}


CASES: dict[Callable[[Maker], Request], int] = {route: 5, head: 2, wrong_method: 3, options: 1}
"""The cases, and how often each comes in relation to the others."""

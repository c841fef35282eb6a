"""How large the body of a request may be: small, but for latents and photographs.

The large bodies that one HTTP worker holds are limited together, see ``Connections.hear``.
"""

import re

from server.worker.request_head import RequestLine

MAX_BODY = 64 * 1024
"""The most bytes of a request's body that carries neither. Such bodies are not counted."""
LATENTS = re.compile(
    "/v1/images|/v1/restore|/v2/models/[^/]+(/versions/[^/]+)?/infer"
    "|/v1/models/[^/]+(/(versions|labels)/[^/]+)?:predict"
).fullmatch
"""The match of a path whose requests may carry latents, or a photograph."""


def most_body(line: RequestLine, most_latents: int) -> int:
    """Return the most bytes of the body of a request; ``most_latents`` if it may carry latents."""
    carries = line.method == "POST" and LATENTS(line.path)
    return max(MAX_BODY, most_latents) if carries else MAX_BODY

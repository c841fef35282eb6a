"""What caches are told of images that a URL names. Source: RFC 9110, 8.8 and 13; RFC 9111.

An image's entity tag names all that decides about its bytes: the bundle, the plan that drew it, the
kind of processor and the libraries, the seeds and the parameters. So a tag that a caller sends says
by itself which bytes the caller has, and those are still right if the bundle is the same and
an engine that answers draws with the same plan.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from importlib.metadata import distributions

from server.api.parameters import ImageParameters
from server.bundle.classes import OWN
from server.codecs.pillow import ENCODERS
from server.config import GPU_PROVIDERS
from server.cpus import vector_instructions
from server.ipc.catalog import Entry
from server.ipc.sources import SeedRange

FOR_A_MINUTE = "public, max-age=60"
UNVERSIONED = ("Cache-Control", FOR_A_MINUTE)
"""The header field of images at a URL without a version: a new version will draw others."""
FOR_EVER = "public, max-age=31536000, immutable"
EXACT = "exact"
"""The precision whose images are the same bytes on every processor."""


def entity_tag(
    key: int, plan: str, source: SeedRange, parameters: ImageParameters, class_id: int = OWN
) -> str:
    """Return the entity tag of images that ``plan`` drew with the bundle of ``key``.

    The tag is a weak one on a GPU, where the same image may be off by a level.
    """
    factor = "" if source.truncation == 1.0 else f"*{source.truncation!r}"
    of_class = "" if class_id == OWN else f"@{class_id}"
    rows = f"{source.seed}+{source.n}{factor}{of_class}"
    return f'{_drawn_by(key, plan)}/{rows}/{parameters.tag}"'


def held_tag(header: str | None, tags: Iterable[str]) -> str | None:
    """Return the first of ``tags`` that ``header``, the field If-None-Match, lists; None if none.

    The comparison is the weak one. A tag of ours has quotes around it and none within, so it cannot
    be part of another.
    """
    if header is None:
        return None
    is_any = header.strip() == "*"
    return next((tag for tag in tags if is_any or tag.removeprefix("W/") in header), None)


def cache_control(model: Entry, plans: Sequence[str]) -> str:
    """Return for how long images at a URL with a version may be kept, which ``plans`` draw now.

    The images are the same bytes for as long as one plan draws them. A plan that stands in for the
    wanted one may be gone tomorrow.
    """
    stays = len(plans) == 1 and _is_strong(plans[0]) and not model.instead_of
    return FOR_EVER if stays else FOR_A_MINUTE


def _is_strong(plan: str) -> bool:
    """Tell whether ``plan`` draws an image with the same bytes each time."""
    provider, _, precision = plan.partition("/")
    return precision == EXACT or provider not in GPU_PROVIDERS


@lru_cache(maxsize=256)
def _drawn_by(key: int, plan: str) -> str:
    """Return how the tags of all images begin that ``plan`` draws with the bundle of ``key``."""
    facts = [ENCODERS]
    if not plan.endswith(f"/{EXACT}"):
        facts += [vector_instructions(), *_runtimes()]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]
    return f'{"" if _is_strong(plan) else "W/"}"{key:016x}/{plan}/{digest}'


@cache
def _runtimes() -> list[str]:
    """Return the packages of ONNX Runtime that are installed, and their versions.

    To look takes tens of milliseconds: each package's metadata is read.
    """
    found = ((x.metadata["Name"], x.version) for x in distributions())
    return sorted(f"{name} {version}" for name, version in found if name.startswith("onnxruntime"))

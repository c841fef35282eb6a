"""Requests, without sending them: both clients share them."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

MOST = 4096
"""The most images of one request; more are asked for in several."""
SUFFIXES = ("png", "jpg", "webp", "npy")
"""The formats of single images, as a URL names them."""


@dataclass(frozen=True)
class Call:
    """One request, without the server's address."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True)
class Terms:
    """What decides about images besides seeds or latents."""

    model: str | None = None
    """The model's name; None is the server's default."""
    version: str | None = None
    """The model's version; None is the newest."""
    truncation: float = 1.0
    """The factor of the latents of seeds, above 0, at most 1."""
    class_: str | int | None = None
    """The class of all images, by name or number; None gives each seed its own."""

    def members(self) -> dict[str, Any]:
        """Return what a JSON body says of the terms."""
        found: dict[str, Any] = {"model": self.model, "version": self.version}
        found |= {"truncation": None if self.truncation == 1 else self.truncation}
        found |= {"class": self.class_}
        return {name: value for name, value in found.items() if value is not None}

    def base(self) -> str:
        """Return how the paths of images begin, which name the model with its version.

        Raises:
            ValueError: only one of the two is known.
        """
        if self.model is None and self.version is None:
            return "/v1"
        if self.model is None or self.version is None:
            raise ValueError("a path names both, a model and its version, or neither")
        return f"/v1/models/{quote(self.model, safe='')}/versions/{quote(self.version, safe='')}"

    def query(self) -> dict[str, str]:
        """Return what the query of an image's URL says of the terms."""
        found = self.members()
        return {name: str(found[name]) for name in ("truncation", "class") if name in found}


def seeds_calls(seeds: Iterable[int], terms: Terms) -> list[Call]:
    """Return the requests for the images of ``seeds``, in their order, ``MOST`` a request."""
    found = []
    for part in _parts(seeds):
        wanted: dict[str, Any] = {"seeds": list(part)}
        if wanted["seeds"] == [*range(part[0], part[0] + len(part))]:
            wanted = {"seed": part[0], "n": len(part)}
        body = json.dumps({"format": "npy", **wanted, **terms.members()}).encode()
        found.append(Call("POST", "/v1/images", {}, {"Content-Type": "application/json"}, body))
    return found


def _parts(seeds: Iterable[int]) -> Iterator[Sequence[int]]:
    known = seeds if isinstance(seeds, range) else [int(seed) for seed in seeds]
    for start in range(0, len(known), MOST):
        yield known[start : start + MOST]


def latents_calls(latents: ArrayLike, terms: Terms) -> list[Call]:
    """Return the requests for the images of ``latents``, float32 [n, latent_dim]."""
    rows = np.ascontiguousarray(latents, "<f4")
    if rows.ndim == 1:
        rows = rows[np.newaxis]
    query = {name: str(value) for name, value in terms.members().items()}
    return [
        Call(
            "POST",
            "/v1/images",
            {"format": "npy"} | query,
            {"Content-Type": "application/x-npy"},
            _npy(rows[start : start + MOST]),
        )
        for start in range(0, len(rows), MOST)
    ]


def file_call(path: str, params: Mapping[str, object]) -> Call:
    """Return the request for a file: an image, a sheet or a morph. None leaves a parameter out."""
    return Call("GET", path, {name: str(x) for name, x in params.items() if x is not None})


def morph_call(first: int, last: int, frames: int, terms: Terms) -> Call:
    """Return the request for a morph of two seeds as a strip of its frames."""
    query = {"from": first, "to": last, "frames": frames, **terms.query()}
    return file_call(f"{terms.base()}/morph.png", query)


def models_call() -> Call:
    """Return the request for the models that the server has."""
    return Call("POST", "/v2/repository/index", {}, {"Content-Type": "application/json"}, b"{}")


def config_call(model: str, version: str) -> Call:
    """Return the request for the configuration of a model."""
    name, number = quote(model, safe=""), quote(version, safe="")
    return Call("GET", f"/v2/models/{name}/versions/{number}/config")


def _npy(rows: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    npy.write_array(file, rows, version=(1, 0), allow_pickle=False)
    return file.getvalue()

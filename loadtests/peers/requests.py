"""The requests with which servers are asked for the same images, each in the form that it takes.

``loadtests.compare`` asks every server for as many images a request, over as many connections. Our
server and most peers take seeds: a path for a PNG, a body for several images as npy. Servers of the
Open Inference Protocol take the latents themselves, and answer pixels: they make no latents and
encode no PNG, which is in their favour.
"""

import io
import json
import urllib.request
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests import serving, wrk
from loadtests.answers import PNG_SIGNATURE, pixels
from loadtests.peers import IMAGES_PATH

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

MODEL_PATH = "/v2/models/cars-dcgan"
LATENT_DIM = 100
NPY_SIGNATURE = b"\x93NUMPY"
LENGTH_OF_HEAD = "Inference-Header-Content-Length"
POSTED = (
    wrk.ANY_SEED
    + """
wrk.headers["Content-Type"] = "application/json"
function request()
  seed = seed + 1
  local body = '{"n": IMAGES, "seed": ' .. string.format("%d", seed) .. '}'
  return wrk.format("POST", "PATH", nil, body)
end
"""
)


@dataclass(frozen=True)
class Call:
    """One request, as it is sent."""

    target: str
    body: bytes = b""
    """The body of a POST; a request without one is a GET."""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return "POST" if self.body else "GET"

    def script(self) -> str:
        """Return the Lua script with which wrk makes this request again and again."""
        fields = [f'wrk.headers["{name}"] = "{text}"' for name, text in self.headers.items()]
        bytes_in_lua = "".join(f"\\{byte:03}" for byte in self.body)
        path = f'wrk.path = "{self.target}"'
        return "\n".join(['wrk.method = "POST"', path, *fields, f'wrk.body = "{bytes_in_lua}"\n'])

    def raw(self, host: str, terms: dict[str, str] | None = None) -> bytes:
        """Return the bytes of the request, with the fields ``terms`` in its head too."""
        fields = {"Host": host, **self.headers, **(terms or {})}
        if self.body:
            fields["Content-Length"] = str(len(self.body))
        head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
        return f"{self.method} {self.target} HTTP/1.1\r\n{head}\r\n".encode() + self.body

    def answer(self, url: str, timeout_s: float = 30.0) -> NDArray[np.uint8]:
        """Send the request to the server at ``url``; return the images: uint8 [n, H, W, C].

        Raises:
            OSError: no server answers, or its status is not 2xx.
            WrongAnswer, ValueError: the answer does not decode.
        """
        request = urllib.request.Request(f"{url}{self.target}", self.body or None, self.headers)
        with _opener.open(request, timeout=timeout_s) as response:
            body = response.read()
            return decoded(body, response.headers.get(LENGTH_OF_HEAD))


def decoded(body: bytes, length_of_head: str | None = None) -> NDArray[np.uint8]:
    """Return the images of a PNG, of an npy file or of tensors: uint8 [n, height, width, channels].

    Raises:
        WrongAnswer, ValueError: they are none of these.
    """
    if body.startswith(PNG_SIGNATURE):
        return pixels(body)[None]
    if body.startswith(NPY_SIGNATURE):
        images: NDArray[np.uint8] = np.load(io.BytesIO(body), allow_pickle=False)
        return images
    at = int(length_of_head or len(body))
    (output,) = json.loads(body[:at])["outputs"]
    values = np.frombuffer(body[at:], np.uint8) if length_of_head else output["data"]
    return np.asarray(values, np.uint8).reshape(output["shape"])


class Requests:
    """The requests of our server, which most peers take too."""

    def script(self, load: wrk.Load) -> str:
        """Return the Lua script with which wrk makes a load's requests."""
        return load.script

    def is_ready(self, url: str) -> bool:
        """Return whether the server at ``url`` says that it can serve."""
        return serving.is_ready(url)

    def of_seed(self, seed: int, n: int) -> Call:
        """Return the request for the images of ``seed`` and the ``n - 1`` seeds after it."""
        if n == 1:
            return Call(f"{IMAGES_PATH}/{seed}.png")
        return _posted({"n": n, "seed": seed, "format": "npy"})

    def of_latents(self, latents: NDArray[np.float32]) -> Call:
        """Return the request for the images of ``latents``: float32 [n, latent_dim]."""
        return _posted({"latents": latents.tolist(), "format": "npy"})


class PostedRequests(Requests):
    """The requests of a peer that takes bodies at one path alone."""

    def script(self, load: wrk.Load) -> str:
        return POSTED.replace("IMAGES", str(load.images)).replace("PATH", IMAGES_PATH)

    def is_ready(self, url: str) -> bool:
        return _draws(url, self)

    def of_seed(self, seed: int, n: int) -> Call:
        return _posted({"n": n, "seed": seed})

    def of_latents(self, latents: NDArray[np.float32]) -> Call:
        return _posted({"latents": latents.tolist()})


class BinaryRequests(Requests):
    """The requests of the Open Inference Protocol, with the tensors as bytes after the JSON."""

    def script(self, load: wrk.Load) -> str:
        return self.of_seed(7, load.images).script()

    def is_ready(self, url: str) -> bool:
        return _draws(url, self)

    def of_seed(self, seed: int, n: int) -> Call:
        return self.of_latents(_latents(seed, n))

    def of_latents(self, latents: NDArray[np.float32]) -> Call:
        tensor = _tensor(latents) | {"parameters": {"binary_data_size": latents.nbytes}}
        output = {"name": "images", "parameters": {"binary_data": True}}
        head = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
        headers = {LENGTH_OF_HEAD: str(len(head)), "Content-Type": "application/octet-stream"}
        return Call(f"{MODEL_PATH}/infer", head + latents.tobytes(), headers)


OURS = Requests()


def _posted(document: dict[str, Any], target: str = IMAGES_PATH) -> Call:
    return Call(target, json.dumps(document).encode(), {"Content-Type": "application/json"})


def _tensor(latents: NDArray[np.float32]) -> dict[str, Any]:
    return {"name": "latents", "datatype": "FP32", "shape": list(latents.shape)}


@cache
def _latents(seed: int, n: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, LATENT_DIM), np.float32)


def _draws(url: str, requests: Requests) -> bool:
    """Return whether the server at ``url`` answers with an image; it has no path that tells."""
    try:
        return len(requests.of_seed(0, 1).answer(url, timeout_s=2)) == 1
    except (OSError, ValueError):
        return False

"""The client for programs without asyncio; threads may share it."""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from carfront import answers, calls
from carfront.answers import Answer, Drawn, Model
from carfront.calls import Call, Terms
from carfront.errors import RETRIED, Unreachable
from carfront.http import options_of, timeouts, unreachable, url_of
from carfront.png import frames_of
from carfront.retries import Attempts

T = TypeVar("T")


class Client:
    """Asks a server for images, over connections that are kept.

    ``key`` is the caller's, where the server wants one. Each request, of 4,096 images at most, ends
    within ``timeout_s``: if it finds the server full or gone it is sent again until then.
    ``model`` and ``version`` choose what draws; without them it is the server's default. With
    ``bulk`` other callers go first.

    All calls raise CarfrontError, whose message is the server's sentence where it has one.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 30.0,
        model: str | None = None,
        version: str | None = None,
        retries: bool = True,
        bulk: bool = False,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url_of(url)
        self.timeout_s = timeout_s
        self._model, self._version = model, version
        self._retries = retries
        self._sleep = sleep
        self._http = httpx.Client(transport=transport, **options_of(self.url, key, bulk))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self._http.close()

    def image(
        self, seed: int, *, truncation: float = 1.0, class_: str | int | None = None
    ) -> NDArray[np.uint8]:
        """Return the image of ``seed``, 0 to 2^64 - 1, as uint8 [height, width, channels]."""
        image: NDArray[np.uint8] = self.images([seed], truncation=truncation, class_=class_)[0]
        return image

    def images(
        self, seeds: Iterable[int], *, truncation: float = 1.0, class_: str | int | None = None
    ) -> NDArray[np.uint8]:
        """Return the images of ``seeds``, in their order, as uint8 [n, height, width, channels].

        Any number of them: more than 4,096 are asked for in several requests.
        """
        return self.draw(seeds, truncation=truncation, class_=class_).images

    def draw(
        self, seeds: Iterable[int], *, truncation: float = 1.0, class_: str | int | None = None
    ) -> Drawn:
        """Return the images of ``seeds`` with the model and the plan that drew them."""
        wanted = calls.seeds_calls(seeds, self._terms(truncation, class_))
        return answers.joined([self._ask(call, answers.drawn) for call in wanted])

    def latents(self, latents: ArrayLike, *, class_: str | int | None = None) -> NDArray[np.uint8]:
        """Return the images of ``latents``, [n, latent_dim], as uint8 [n, h, w, channels]."""
        wanted = calls.latents_calls(latents, self._terms(1.0, class_))
        return answers.joined([self._ask(call, answers.drawn) for call in wanted]).images

    def morph(
        self, first: int, last: int, *, frames: int = 16, truncation: float = 1.0
    ) -> NDArray[np.uint8]:
        """Return the way from one seed's image to another's: uint8 [frames, h, w, channels]."""
        call = calls.morph_call(first, last, frames, self._terms(truncation, None))
        return self._ask(call, lambda answer: frames_of(answer.body, frames))

    def models(self) -> list[Model]:
        """Return every version of every model that the server has."""
        return self._ask(calls.models_call(), answers.models)

    def file(self, path: str, **params: object) -> bytes:
        """Return the file at ``path`` below the server's URL, such as ``/v1/grid.png``."""
        return self.send(calls.file_call(path, params)).body

    def send(self, call: Call) -> Answer:
        """Return the good answer to ``call``, after as many attempts as the time allows."""
        return self._ask(call, lambda answer: answer)

    def _ask(self, call: Call, read: Callable[[Answer], T]) -> T:
        """Return what ``read`` finds in the answer to ``call``; one that it refuses is no good."""
        attempts = Attempts(self.timeout_s)
        while True:
            try:
                return read(self._once(call, attempts))
            except RETRIED as error:
                if not self._retries:
                    raise
                self._sleep(attempts.pause_s(error))

    def _once(self, call: Call, attempts: Attempts) -> Answer:
        """Send ``call`` once; a broken connection is an error of the server's."""
        timeout_ms = attempts.timeout_ms()
        parts = []
        try:
            with self._http.stream(
                call.method,
                call.path.removeprefix("/"),
                params=dict(call.params),
                headers={**call.headers, "X-Request-Timeout-Ms": str(timeout_ms)},
                content=call.content,
                timeout=timeouts(timeout_ms),
            ) as response:
                for part in response.iter_bytes():
                    parts.append(part)
                    attempts.check_grace()
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error
        except RuntimeError as error:  # the client was closed by another thread
            raise Unreachable(f"{self.url} is not asked any more: {error}") from error
        answer = Answer(response.status_code, response.headers, b"".join(parts))
        return answers.check(answer)

    def _terms(self, truncation: float, class_: str | int | None) -> Terms:
        return Terms(self._model, self._version, truncation, class_)

"""The client for programs with asyncio: the same calls as ``carfront.client.Client``."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from carfront import answers, calls
from carfront.answers import Answer, Drawn, Model
from carfront.calls import Call, Terms
from carfront.errors import RETRIED, TooLate, Unreachable
from carfront.http import options_of, timeouts, unreachable, url_of
from carfront.png import frames_of
from carfront.retries import GRACE_S, Attempts

T = TypeVar("T")

AT_A_TIME = 8
"""The requests that one call has at a time: their answers are in memory."""


class AsyncClient:
    """Asks a server for images, over connections that are kept; see ``Client``.

    The requests of one call are sent ``AT_A_TIME``.
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
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = url_of(url)
        self.timeout_s = timeout_s
        self._model, self._version = model, version
        self._retries = retries
        self._sleep = sleep
        self._http = httpx.AsyncClient(transport=transport, **options_of(self.url, key, bulk))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._http.aclose()

    async def image(
        self, seed: int, *, truncation: float = 1.0, class_: str | int | None = None
    ) -> NDArray[np.uint8]:
        """Return the image of ``seed``, 0 to 2^64 - 1, as uint8 [height, width, channels]."""
        image: NDArray[np.uint8] = (
            await self.images([seed], truncation=truncation, class_=class_)
        )[0]
        return image

    async def images(
        self, seeds: Iterable[int], *, truncation: float = 1.0, class_: str | int | None = None
    ) -> NDArray[np.uint8]:
        """Return the images of ``seeds``, in their order, as uint8 [n, height, width, channels]."""
        return (await self.draw(seeds, truncation=truncation, class_=class_)).images

    async def draw(
        self, seeds: Iterable[int], *, truncation: float = 1.0, class_: str | int | None = None
    ) -> Drawn:
        """Return the images of ``seeds`` with the model and the plan that drew them."""
        wanted = calls.seeds_calls(seeds, self._terms(truncation, class_))
        return answers.joined(await self._draw_all(wanted))

    async def latents(
        self, latents: ArrayLike, *, class_: str | int | None = None
    ) -> NDArray[np.uint8]:
        """Return the images of ``latents``, [n, latent_dim], as uint8 [n, h, w, channels]."""
        wanted = calls.latents_calls(latents, self._terms(1.0, class_))
        return answers.joined(await self._draw_all(wanted)).images

    async def morph(
        self, first: int, last: int, *, frames: int = 16, truncation: float = 1.0
    ) -> NDArray[np.uint8]:
        """Return the way from one seed's image to another's: uint8 [frames, h, w, channels]."""
        call = calls.morph_call(first, last, frames, self._terms(truncation, None))
        return await self._ask(call, lambda answer: frames_of(answer.body, frames))

    async def models(self) -> list[Model]:
        """Return every version of every model that the server has."""
        return await self._ask(calls.models_call(), answers.models)

    async def file(self, path: str, **params: object) -> bytes:
        """Return the file at ``path`` below the server's URL, such as ``/v1/grid.png``."""
        return (await self.send(calls.file_call(path, params))).body

    async def send(self, call: Call) -> Answer:
        """Return the good answer to ``call``, after as many attempts as the time allows."""
        return await self._ask(call, lambda answer: answer)

    async def _ask(self, call: Call, read: Callable[[Answer], T]) -> T:
        """Return what ``read`` finds in the answer to ``call``; one that it refuses is no good."""
        attempts = Attempts(self.timeout_s)
        while True:
            try:
                return read(await self._once(call, attempts.timeout_ms()))
            except RETRIED as error:
                if not self._retries:
                    raise
                await self._sleep(attempts.pause_s(error))

    async def _draw_all(self, wanted: list[Call]) -> list[Drawn]:
        """Return the images of ``wanted``; where one of them fails the others are given up."""
        turns = asyncio.Semaphore(AT_A_TIME)

        async def draw(call: Call) -> Drawn:
            async with turns:
                return await self._ask(call, answers.drawn)

        tasks = [asyncio.ensure_future(draw(call)) for call in wanted]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _once(self, call: Call, timeout_ms: int) -> Answer:
        """Send ``call`` once; a broken connection is an error of the server's."""
        try:
            async with asyncio.timeout(timeout_ms / 1000 + GRACE_S):
                response = await self._http.request(
                    call.method,
                    call.path.removeprefix("/"),
                    params=dict(call.params),
                    headers={**call.headers, "X-Request-Timeout-Ms": str(timeout_ms)},
                    content=call.content,
                    timeout=timeouts(timeout_ms),
                )
        except TimeoutError as error:
            raise TooLate(504, f"{self.url} did not answer in time") from error
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error
        except RuntimeError as error:  # the client is closed
            raise Unreachable(f"{self.url} is not asked any more: {error}") from error
        answer = Answer(response.status_code, response.headers, response.content)
        return answers.check(answer)

    def _terms(self, truncation: float, class_: str | int | None) -> Terms:
        return Terms(self._model, self._version, truncation, class_)

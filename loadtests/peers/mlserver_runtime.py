"""The runtime that MLServer runs; ``mlserver_batching`` starts it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from fastapi import Request, Response
from mlserver import MLModel
from mlserver.context import model_context
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput
from numpy.typing import NDArray

from loadtests.peers import IMAGES_PATH
from loadtests.peers.drawing import LATENT_DIM, drawn_together, latents_wanted, npy, opened, png

SHAPE = (32, 32, 3)


class Draw(MLModel):  # type: ignore[misc]
    """Draws batches of requests, and answers at paths of its own.

    The paths ask ``predict`` as MLServer's protocol does, and so in batches, with tensors as bytes:
    its own path has them as numbers in JSON.
    """

    async def load(self) -> bool:
        """Open the session; one thread draws, so that the loop takes requests meanwhile."""
        self._session = opened()
        self._thread = ThreadPoolExecutor(1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the images of a batch: FP32 [n, latent_dim] to UINT8 [n, H, W, C], as bytes."""
        latents = np.frombuffer(payload.inputs[0].data.root, np.float32).reshape(-1, LATENT_DIM)
        loop = asyncio.get_running_loop()
        (images,) = await loop.run_in_executor(
            self._thread, drawn_together, self._session, [latents]
        )
        output = ResponseOutput(
            name="images", shape=list(images.shape), datatype="UINT8", data=images.tobytes()
        )
        return InferenceResponse(model_name=self.name, outputs=[output])

    @custom_handler(rest_path="/readyz", rest_method="GET")  # type: ignore[untyped-decorator]
    async def is_loaded(self) -> Response:
        """Answer that the server is ready: the path is there once the model is loaded."""
        return Response("{}", media_type="application/json")

    @custom_handler(rest_path=f"{IMAGES_PATH}/{{seed}}.png", rest_method="GET")  # type: ignore[untyped-decorator]
    async def image(self, seed: int) -> Response:
        """Answer with the image of a seed as PNG."""
        images = await self._drawn({"seed": seed, "n": 1})
        return Response(png(images[0]), media_type="image/png")

    @custom_handler(rest_path=IMAGES_PATH)  # type: ignore[untyped-decorator]
    async def images(self, request: Request) -> Response:
        """Answer with several images as npy."""
        images = await self._drawn(await request.json())
        return Response(npy(images), media_type="application/x-npy")

    async def _drawn(self, wanted: dict[str, Any]) -> NDArray[np.uint8]:
        latents = latents_wanted(wanted)
        tensor = RequestInput(
            name="latents", shape=list(latents.shape), datatype="FP32", data=latents.tobytes()
        )
        with model_context(self.settings):  # the batching counts for the model of its context
            answer = await self.predict(InferenceRequest(inputs=[tensor]))
        return np.frombuffer(answer.outputs[0].data.root, np.uint8).reshape(-1, *SHAPE)

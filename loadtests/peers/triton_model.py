"""The model that Triton's Python backend runs; ``triton_server`` copies it where Triton looks."""

from typing import Any

import triton_python_backend_utils as triton

from loadtests.peers.drawing import drawn_together, opened


class TritonPythonModel:
    """Draws the images of the requests that Triton has put together, as one batch."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton hands it over
        """Open the session, in the process of the backend."""
        self._session = opened()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return the answer to each request: uint8 [n, H, W, C]."""
        parts = [triton.get_input_tensor_by_name(x, "latents").as_numpy() for x in requests]
        return [
            triton.InferenceResponse([triton.Tensor("images", images)])
            for images in drawn_together(self._session, parts)
        ]

"""Clients of the inference protocols, which send latents: those of a known seed, and any others."""

import json
import random

import numpy as np
from locust import task
from numpy.typing import NDArray

from loadtests.answers import Answer
from loadtests.load.checks import check_latents, check_predictions, check_tensor
from loadtests.load.users.caller import Caller

LEVELS = 127.5
"""The grey levels of one unit of a float image."""


class LatentsCaller(Caller):
    """A client that knows the latents of one popular seed, and makes up others."""

    abstract = True

    def on_start(self) -> None:
        """Ask for the latents of a seed, whose image is then known."""
        super().on_start()
        self.rng = np.random.default_rng(random.randrange(2**32))
        self.seed = random.choice(self.golden_seeds or self.popular)
        path = f"{self.facts.base}/latents/{self.seed}"
        while (known := self.ask("latents", "GET", path, self.check_latents)) is None:
            self.wait()
        self.known: NDArray[np.float32] = known

    def check_latents(self, answer: Answer) -> NDArray[np.float32]:
        """Return the latents of one seed."""
        return check_latents(answer, self.facts.latent_dim)

    def latents(self, n: int) -> NDArray[np.float32]:
        """Return the latents of the known seed and ``n - 1`` others: float32 [n, latent_dim]."""
        others = self.rng.standard_normal((n - 1, self.facts.latent_dim), np.float32)
        return np.concatenate((self.known, others))

    def check_known(self, answer: Answer, images: NDArray[np.generic]) -> None:
        """Check the image of the known seed, which is the first one."""
        if not self.facts.has_classes:
            self.goldens.check(answer, images[:1], self.seed)


class OIPClient(LatentsCaller):
    """A client of the Open Inference Protocol that sends and gets binary tensors."""

    weight = 3

    @task
    def infer(self) -> None:
        """Ask for the images of 1 to 32 rows of latents."""
        rows = self.latents(random.randint(1, 32))
        tensor = {
            "name": "latents",
            "shape": list(rows.shape),
            "datatype": "FP32",
            "parameters": {"binary_data_size": rows.nbytes},
        }
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()

        def check(answer: Answer) -> None:
            self.check_known(answer, check_tensor(answer, len(rows), self.facts.shape))

        path = f"/v2/models/{self.facts.model}/versions/{self.facts.version}/infer"
        fields = {
            "Inference-Header-Content-Length": str(len(head)),
            "Content-Type": "application/octet-stream",
        }
        self.ask("infer, binary", "POST", path, check, head + rows.tobytes(), fields=fields)


class TFServingClient(LatentsCaller):
    """A client of TensorFlow Serving's interface, which gets float images as JSON."""

    weight = 2

    @task
    def predict(self) -> None:
        """Ask for the float images of 1 to 4 rows of latents."""
        rows = self.latents(random.randint(1, 4))

        def check(answer: Answer) -> None:
            images = check_predictions(answer, len(rows), self.facts.shape)
            self.check_known(answer, (images + 1) * np.float32(LEVELS))

        path = f"{self.facts.base}:predict"
        self.ask("predict", "POST", path, check, {"instances": rows.tolist()})

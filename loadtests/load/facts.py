"""What the users have to know of the server's default model, as its front page tells programs."""

import json
from dataclasses import dataclass

from loadtests.answers import Answer, WrongAnswer


@dataclass(frozen=True)
class Facts:
    """The default model of a server."""

    model: str
    version: str
    shape: tuple[int, int, int]
    """Height, width and channels of an image."""
    latent_dim: int
    has_classes: bool
    """Whether images are of classes: then the latents of a seed alone do not make its image."""

    @property
    def base(self) -> str:
        """The path that names the version: what is below it never changes."""
        return f"/v1/models/{self.model}/versions/{self.version}"


def facts_of(answer: Answer) -> Facts:
    """Return what the front page's JSON tells.

    Raises:
        WrongAnswer: it does not tell all of it.
    """
    try:
        page = json.loads(answer.require("application/json"))
        height, width, channels = map(int, page["image"]["shape"])
        return Facts(
            str(page["model"]),
            str(page["version"]),
            (height, width, channels),
            int(page["latents"]["dim"]),
            bool(page.get("classes")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer(f"the front page does not tell of the model: {error!r}") from error

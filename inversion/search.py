"""The search: from the nearest of many chance latents downhill, several at a time.

Source: Kingma and Ba, Adam, 2015, section 2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inversion.losses import Floats, Loss

MOST_STEPS, MOST_RESTARTS = 500, 32
CANDIDATES = 512
"""The chance latents among which the starts are looked for: 0.2 s of drawing."""
PART = 64
"""The candidates that are drawn at a time."""
BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-8

Draw = Callable[[Floats], Floats]
"""The function from latents [n, latent_dim] to float images [n, H, W, C]."""
Pull = Callable[[Floats, Floats], Floats]
"""The function from latents, and the gradient of a loss with respect to their images (cotangents),
to its gradient with respect to the latents [n, latent_dim]."""


@dataclass(frozen=True)
class Settings:
    """How long, and how, a search searches."""

    steps: int = 150
    restarts: int = 8
    """The latents that go downhill together, of which the nearest is taken."""
    prior: float = 0.01
    """The weight of the latents' own improbability beside the loss: with none, what is hidden may
    become anything."""
    rate: float = 0.1
    """How far a latent goes in one of the first steps; the last steps are small."""
    seed: int = 0
    """The seed of the chance latents."""


@dataclass(frozen=True)
class Found:
    """The nearest image so far."""

    step: int
    latents: Floats
    """float32 [latent_dim]."""
    image: Floats
    """float32 [H, W, C], in [-1, 1]."""
    loss: float


def search(
    draw: Draw,
    pull: Pull,
    loss: Loss,
    latent_dim: int,
    distribution: str,
    settings: Settings,
) -> Iterator[Found]:
    """Yield the nearest image after each step; whoever has no time left stops asking.

    ``distribution`` is that of the latents, normal or uniform in [-1, 1].
    """
    latents = starts(draw, loss, latent_dim, distribution, settings)
    first, second = np.zeros_like(latents), np.zeros_like(latents)
    best: Found | None = None
    for step in range(1, settings.steps + 1):
        images = draw(latents)
        losses, cotangents = loss(images)
        losses = losses + _improbability(latents, distribution, settings.prior)
        nearest = int(np.argmin(losses))
        if best is None or losses[nearest] < best.loss:
            best = Found(step, latents[nearest].copy(), images[nearest].copy(), losses[nearest])
        yield Found(step, best.latents, best.image, float(best.loss))
        if step == settings.steps:
            return
        slope = pull(latents, cotangents)
        if distribution == "normal":
            slope = slope + np.float32(2 * settings.prior / latent_dim) * latents
        first += np.float32(1 - BETA_1) * (slope - first)
        second += np.float32(1 - BETA_2) * (slope * slope - second)
        fair = np.sqrt(second / np.float32(1 - BETA_2**step)) + np.float32(EPSILON)
        pace = settings.rate * _pace(step / settings.steps) / (1 - BETA_1**step)
        latents = latents - np.float32(pace) * first / fair
        if distribution == "uniform":
            latents = np.clip(latents, -1, 1)


def starts(
    draw: Draw, loss: Loss, latent_dim: int, distribution: str, settings: Settings
) -> NDArray[np.float32]:
    """Return the ``restarts`` nearest of many chance latents, float32 [restarts, latent_dim]."""
    chance = np.random.default_rng(settings.seed)
    shape = max(CANDIDATES, settings.restarts), latent_dim
    if distribution == "uniform":
        candidates = chance.uniform(-1, 1, shape).astype(np.float32)
    else:
        candidates = chance.standard_normal(shape, np.float32)
    parts = [candidates[i : i + PART] for i in range(0, len(candidates), PART)]
    losses = np.concatenate([loss(draw(part))[0] for part in parts])
    return candidates[np.argsort(losses, kind="stable")[: settings.restarts]]


def _improbability(latents: Floats, distribution: str, prior: float) -> Floats | float:
    """Return the mean square of each row of normal latents, by the ``prior``; uniform have none."""
    if distribution != "normal":
        return 0.0
    squares: Floats = np.square(latents).mean(axis=1)
    return np.float32(prior) * squares


def _pace(part_done: float) -> float:
    """Return the pace of a step, 1 at first and 0 at the end, along half a cosine."""
    return float(0.5 + 0.5 * np.cos(np.pi * part_done))

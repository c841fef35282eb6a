"""What an answer to a photograph has to be: JSON, or the events of a search."""

import io
import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from PIL import Image

from loadtests.fuzz.outcome import Fault
from loadtests.fuzz.response import Response

STEP = {"step", "steps", "distance", "image"}
END = STEP | {"filled", "latents", "model", "version"}
LATENT_DIM = 100
SIZE = (32, 32)


@dataclass(frozen=True)
class Restored:
    """What was asked for with a photograph."""

    steps: int
    has_events: bool
    """Whether the search is to be told as it goes on."""


def faults(wanted: Restored, response: Response) -> list[Fault]:
    """Return what is wrong with an answer of status 200 to a photograph."""
    type_ = "text/event-stream" if wanted.has_events else "application/json"
    if response.fields.get("content-type") != type_:
        return [Fault("a restoration of another type", response.fields.get("content-type", ""))]
    try:
        if wanted.has_events:
            check_events(events_of(response.body), wanted.steps)
        else:
            check(json.loads(response.body), END, wanted.steps)
    except (ValueError, TypeError, KeyError, OSError) as error:  # Pillow's are OSErrors
        return [Fault("a wrong restoration", f"{error!r} {response.body[:200]!r}")]
    return []


def events_of(body: bytes) -> list[tuple[str, Any]]:
    """Return the events in ``body``, each with its JSON.

    Raises:
        ValueError: something else is in it.
    """
    *events, rest = body.decode().split("\n\n")
    if rest:
        raise ValueError(f"{rest[:80]!r} is no whole event")
    found = []
    for event in events:
        kind, data = event.split("\n")
        if not kind.startswith("event: ") or not data.startswith("data: "):
            raise ValueError(f"{event[:80]!r} is no event")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def check_events(events: list[tuple[str, Any]], steps: int) -> None:
    """Check that ``events`` are some steps in their order, and then the end or an error.

    Raises:
        ValueError, TypeError, KeyError, OSError: they are not.
    """
    *before, (last, told) = events
    for kind, step in before:
        if kind != "step":
            raise ValueError(f"the event {kind!r} before the end")
        check(step, STEP, steps)
    numbers = [step["step"] for _, step in before]
    if not numbers or numbers != sorted(set(numbers)):
        raise ValueError(f"steps {numbers}")
    if last == "error":
        if told["status"] not in (503, 504):
            raise ValueError(f"an error of status {told['status']}")
        return
    if last != "end":
        raise ValueError(f"the event {last!r} at the end")
    check(told, END, steps)


def check(told: dict[str, Any], members: set[str], steps: int) -> None:
    """Check that ``told`` has just these ``members``, and images that are images.

    Raises:
        ValueError, TypeError, KeyError, OSError: it has not.
    """
    if told.keys() != members:
        raise ValueError(f"members {sorted(told)}")
    if not 0 <= told["step"] <= steps == told["steps"] or not 0 <= told["distance"] <= 255:
        raise ValueError(f"step {told['step']} of {told['steps']}, distance {told['distance']}")
    for name in {"image", "filled"} & members:
        with Image.open(io.BytesIO(b64decode(told[name], validate=True)), formats=["PNG"]) as image:
            image.load()
            if image.size != SIZE or image.mode != "RGB":
                raise ValueError(f"{name} is {image.size} {image.mode}")
    if "latents" in members and len(told["latents"]) != LATENT_DIM:
        raise ValueError(f"{len(told['latents'])} latents")

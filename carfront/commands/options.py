"""Options that several commands have, and what they do alike."""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from carfront.client import Client

F = TypeVar("F", bound=Callable[..., Any])

KEY = "CARFRONT_API_KEY"
"""The variable with the caller's key, which no option has: other users see command lines."""
DEFAULT_URL = "http://127.0.0.1:8000"


def url_option(command: F) -> F:
    """Add ``--url``."""
    return click.option(
        "--url",
        envvar="CARFRONT_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="The server.",
    )(command)


def timeout_option(command: F) -> F:
    """Add ``--timeout``, in seconds."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(0.001, 3600),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to try altogether.",
    )(command)


def model_options(command: F) -> F:
    """Add ``--model`` and ``--version``, which go together in URLs of images."""
    version = click.option("--version", help="The model's version, with --model.")
    model = click.option("--model", help="The model, with --version; else the server's default.")
    return model(version(command))


def drawing_options(command: F) -> F:
    """Add what decides about images besides their seeds."""
    named = click.option(
        "--class", "class_", metavar="NAME", help="The class, of a model with classes."
    )
    truncation = click.option(
        "--truncation",
        type=click.FloatRange(0, 1, min_open=True),
        default=1.0,
        help="Nearer to the model's average, above 0, at most 1.",
    )
    return truncation(named(command))


SEED = click.IntRange(0, 2**64 - 1)


def client_of(url: str, timeout_s: float, **options: Any) -> Client:
    """Return a client with the key of the environment."""
    return Client(url, key=os.environ.get(KEY) or None, timeout_s=timeout_s, **options)


def example(text: str) -> str:
    """Return ``text`` as the end of a command's help, which shows it as it is."""
    return f"\b\nExample:\n  {text}"


def write_whole(place: str, data: bytes) -> None:
    """Write the file at ``place`` as a whole or not at all; ``-`` is the standard output."""
    if place == "-":
        sys.stdout.buffer.write(data)
        return
    path = Path(place)
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        error.filename = place
        raise
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        Path(draft).chmod(0o666 & ~mask)
        Path(draft).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(draft).unlink()
        raise


def suffix_of(place: str, known: tuple[str, ...], default: str) -> str:
    """Return the format that the file name ``place`` ends with.

    Raises:
        click.BadParameter: there is no such format.
    """
    suffix = Path(place).suffix.lstrip(".").lower().replace("jpeg", "jpg")
    if place == "-" or not suffix:
        return default
    if suffix not in known:
        wanted = ", ".join(f".{name}" for name in known)
        raise click.BadParameter(f"{place} ends with .{suffix}; wanted {wanted}", param_hint="-o")
    return suffix

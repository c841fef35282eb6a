"""Commands for single pictures: an image, a sheet, a morph."""

import click

from carfront.calls import SUFFIXES, Terms
from carfront.commands.options import (
    SEED,
    F,
    client_of,
    drawing_options,
    example,
    model_options,
    suffix_of,
    timeout_option,
    url_option,
    write_whole,
)

SHEETS = ("png", "jpg", "webp")
MORPHS = ("webp", "gif", "png")


def picture_options(command: F) -> F:
    """Add what all commands for a picture have."""
    for option in (
        url_option,
        timeout_option,
        model_options,
        drawing_options,
        click.option(
            "--filter",
            "filter_",
            type=click.Choice(["nearest", "lanczos"]),
            help="How it is enlarged.",
        ),
        click.option("--scale", type=click.IntRange(1, 32), help="Enlarge it, 1 to 32 times."),
    ):
        command = option(command)
    return command


@click.command(epilog=example("carfront get 7 -o car.png --scale 8"))
@click.argument("seed", type=SEED)
@click.option("-o", "--output", metavar="FILE", help="PNG, JPEG, WebP or npy; - is stdout.")
@picture_options
def get(
    seed: int,
    output: str | None,
    scale: int | None,
    filter_: str | None,
    truncation: float,
    class_: str | None,
    model: str | None,
    version: str | None,
    timeout_s: float,
    url: str,
) -> None:
    """Draw the car of SEED, 0 to 2^64 - 1, into a file.

    The same seed is the same car. Without -o the file is SEED.png.
    """
    place = output or f"{seed}.png"
    suffix = suffix_of(place, SUFFIXES, "png")
    terms = Terms(model, version, truncation, class_)
    base = _base(terms)
    with client_of(url, timeout_s) as client:
        query = {"scale": scale, "filter": filter_, **terms.query()}
        data = client.file(f"{base}/images/{seed}.{suffix}", **query)
    write_whole(place, data)


@click.command(epilog=example("carfront sheet -o cars.webp --seed 7 --rows 4 --cols 6 --scale 2"))
@click.option("-o", "--output", metavar="FILE", default="sheet.png", show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True, help="The first seed.")
@click.option("--rows", type=click.IntRange(1, 4096), default=8, show_default=True)
@click.option("--cols", type=click.IntRange(1, 4096), default=8, show_default=True)
@picture_options
def sheet(
    output: str,
    seed: int,
    rows: int,
    cols: int,
    scale: int | None,
    filter_: str | None,
    truncation: float,
    class_: str | None,
    model: str | None,
    version: str | None,
    timeout_s: float,
    url: str,
) -> None:
    """Draw the cars of neighbouring seeds side by side."""
    suffix = suffix_of(output, SHEETS, "png")
    terms = Terms(model, version, truncation, class_)
    base = _base(terms)
    sizes = {"seed": seed, "rows": rows, "cols": cols, "scale": scale, "filter": filter_}
    with client_of(url, timeout_s) as client:
        data = client.file(f"{base}/grid.{suffix}", **sizes, **terms.query())
    write_whole(output, data)


@click.command(epilog=example("carfront morph 7 21 -o film.webp --frames 32 --scale 4"))
@click.argument("first", type=SEED)
@click.argument("last", type=SEED)
@click.option("-o", "--output", metavar="FILE", default="film.webp", show_default=True)
@click.option("--frames", type=click.IntRange(2, 256), default=16, show_default=True)
@click.option("--frame-ms", type=click.IntRange(20, 10_000), help="How long each is shown.")
@picture_options
def morph(
    first: int,
    last: int,
    output: str,
    frames: int,
    frame_ms: int | None,
    scale: int | None,
    filter_: str | None,
    truncation: float,
    class_: str | None,
    model: str | None,
    version: str | None,
    timeout_s: float,
    url: str,
) -> None:
    """Draw the way from the car of FIRST to that of LAST.

    It is a film (WebP, GIF) or a strip of its frames (PNG).
    """
    suffix = suffix_of(output, MORPHS, "webp")
    terms = Terms(model, version, truncation, class_)
    base = _base(terms)
    query = {"from": first, "to": last, "frames": frames, "frame_ms": frame_ms, "scale": scale}
    with client_of(url, timeout_s) as client:
        path = f"{base}/morph.{suffix}"
        data = client.file(path, **query, filter=filter_, **terms.query())
    write_whole(output, data)


def _base(terms: Terms) -> str:
    """Return how the path of a picture begins.

    Raises:
        click.UsageError: only one of model and version is there.
    """
    try:
        return terms.base()
    except ValueError as error:
        raise click.UsageError("--model and --version go together") from error

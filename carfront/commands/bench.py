"""The command for a first impression of a server's speed."""

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import click

from carfront.client import Client
from carfront.commands.options import DEFAULT_URL, client_of, example

IMAGES = 256
"""The images of a large request."""
THREADS = 4


@click.command(epilog=example("carfront bench http://127.0.0.1:8000 --seconds 5"))
@click.argument("url", envvar="CARFRONT_URL", default=DEFAULT_URL)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="Of each."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def bench(url: str, seconds: float, as_json: bool) -> None:
    """Measure a server from here, one image at a time, then 256 at a time by four callers.

    No image is asked for twice. This is a first impression: the machine's other work counts too,
    and this command's own.
    """
    with client_of(url, 30.0) as client:
        client.image(0)  # the connection is there from here on
        alone = _alone(client, seconds)
        many = _many(client, seconds)
    facts = {
        "p50_ms": round(statistics.median(alone) * 1e3, 2),
        "p99_ms": round(statistics.quantiles(alone, n=100)[98] * 1e3, 2),
        "images_per_s_alone": round(len(alone) / sum(alone), 1),
        "images_per_s": round(many, 1),
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(
        f"one image at a time: {facts['images_per_s_alone']:,.0f} images/s, "
        f"p50 {facts['p50_ms']:.1f} ms, p99 {facts['p99_ms']:.1f} ms"
    )
    click.echo(f"{IMAGES} at a time, {THREADS} callers: {facts['images_per_s']:,.0f} images/s")


def _alone(client: Client, seconds: float) -> list[float]:
    """Return the seconds of each image, asked for one after the other."""
    took: list[float] = []
    began = time.perf_counter()
    while len(took) < 2 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        client.image(2**40 + len(took))
        took.append(time.perf_counter() - start)
    return took


def _many(client: Client, seconds: float) -> float:
    """Return the images a second of several callers together."""
    began = time.perf_counter()

    def ask(caller: int) -> int:
        images = 0
        while not images or time.perf_counter() - began < seconds:
            first = (caller + 1) * 2**41 + images
            images += len(client.images(range(first, first + IMAGES)))
        return images

    callers = ThreadPoolExecutor(THREADS)
    try:
        return sum(callers.map(ask, range(THREADS))) / (time.perf_counter() - began)
    finally:
        callers.shutdown(wait=False)  # who is stopped does not wait for answers

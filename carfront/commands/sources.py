"""Where commands for data sets draw: the options that say so."""

from collections.abc import Sequence
from pathlib import Path

import click

from carfront.client import Client
from carfront.commands.options import client_of
from carfront.datasets.store import S3

REQUEST_S = 120.0
"""The seconds of one request to a server."""

urls_option = click.option(
    "--url", "urls", multiple=True, envvar="CARFRONT_URL", help="A server; may be given again."
)
bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Draw with this bundle here, without a server.",
)
provider_option = click.option(
    "--provider", envvar="CARFRONT_PROVIDER", default="auto", hidden=True
)
precision_option = click.option(
    "--precision",
    envvar="CARFRONT_PRECISION",
    default="auto",
    help="With --bundle: exact gives the same bytes on every processor.",
)


def is_one_tar(place: str) -> bool:
    """Tell whether a data set at ``place`` is one tar."""
    return place.endswith(".tar") and not place.startswith(S3)


def clients_of(urls: Sequence[str], model: str | None, version: str | None) -> list[Client]:
    """Return clients that leave retries to the source: another server may be free."""
    asked = {"model": model, "version": version}
    return [client_of(url, REQUEST_S, retries=False, bulk=True, **asked) for url in urls]

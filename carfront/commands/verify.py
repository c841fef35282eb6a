"""The command that checks a data set."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from carfront.commands.options import example
from carfront.commands.progress import Progress
from carfront.commands.sources import (
    bundle_option,
    clients_of,
    is_one_tar,
    precision_option,
    provider_option,
    urls_option,
)
from carfront.datasets.formats import format_of
from carfront.datasets.gpus_source import source_of
from carfront.datasets.index import INDEX, Index, read_index
from carfront.datasets.servers_source import ServersSource
from carfront.datasets.single_tar import SingleTar
from carfront.datasets.source import Source
from carfront.datasets.store import Store, store_at
from carfront.datasets.verify import verify as verify_data_set
from carfront.errors import DataSetError
from carfront.stops import ending_at_once


@click.command(epilog=example("carfront verify cars --sample 4096 --bundle models/cars-dcgan/2"))
@click.argument("place", metavar="DIR|FILE.tar|s3://BUCKET/PREFIX")
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help="At least so many images are drawn again, in blocks of 256 chosen at random.",
)
@click.option("--all", "draw_all", is_flag=True, help="Draw all of them again.")
@click.option(
    "--tolerance",
    type=click.IntRange(0, 255),
    default=0,
    show_default=True,
    help="Grey levels by which an image may differ, where another plan or processor drew it.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@urls_option
@bundle_option
@provider_option
@precision_option
def verify(
    place: str,
    sample: int,
    draw_all: bool,
    tolerance: int,
    as_json: bool,
    urls: Sequence[str],
    bundle: Path | None,
    provider: str,
    precision: str,
) -> None:
    """Check a data set: that it is complete, all files by their SHA-256, images by drawing them.

    Without --bundle and --url no image is drawn.
    """
    with ending_at_once():
        one_tar = SingleTar(Path(place)).reader() if is_one_tar(place) else None
        store: Store = one_tar or store_at(place)
        data = store.read(INDEX)
        if data is None:
            raise DataSetError(f"{place} has no index; wanted what carfront generate wrote")
        index = read_index(data, place)
        format_of(index.format)
        source = _same_source(index, urls, bundle, provider, precision)
    total = index.seeds.stop - index.seeds.start
    progress = Progress(total, 0, f"verify {place}")
    try:
        with progress:
            count = None if draw_all else sample
            found = verify_data_set(index, store, source, count, tolerance, progress.advance)
    except KeyboardInterrupt as stop:
        raise type(stop)(
            f"Stopped: the files of {progress.done:,} of {total:,} images are as they were "
            "written, and nothing was changed. The same command begins anew."
        ) from stop
    finally:
        store.close()
        if source:
            source.close()
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    drawn = f"{found.images_drawn:,} drawn again" if source else "none drawn again"
    told = f", off by up to {found.levels} grey levels" if found.levels else ""
    click.echo(f"{total:,} images in {found.shards} files are as they were written; {drawn}{told}")


def _same_source(
    index: Index, urls: Sequence[str], bundle: Path | None, provider: str, precision: str
) -> Source | None:
    """Return what draws the images again, None if nothing is named.

    Raises:
        DataSetError: it is another model.
    """
    line = index.lineage
    if bundle:
        source = source_of(bundle, provider, precision, line.truncation, line.class_)
    elif urls:
        clients = clients_of(urls, line.model, line.version)
        source = ServersSource(clients, line.truncation, line.class_)
    else:
        return None
    mine = source.lineage
    digests = {mine.bundle, line.bundle} - {""}
    if (mine.model, mine.version) != (line.model, line.version) or len(digests) == 2:
        raise DataSetError(
            f"the data set is of {line.model}/{line.version} ({line.bundle}); the images to hold "
            f"against it would be of {mine.model}/{mine.version} ({mine.bundle})"
        )
    return source

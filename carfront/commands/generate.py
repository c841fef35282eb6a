"""The command that draws a data set."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from carfront.commands.options import DEFAULT_URL, drawing_options, example
from carfront.commands.progress import Progress
from carfront.commands.sources import (
    bundle_option,
    clients_of,
    is_one_tar,
    precision_option,
    provider_option,
    urls_option,
)
from carfront.datasets.formats import FORMATS
from carfront.datasets.gpus_source import source_of
from carfront.datasets.index import INDEX, Index, read_index
from carfront.datasets.seeds import part_of, seeds_of
from carfront.datasets.servers_source import ServersSource
from carfront.datasets.single_tar import SingleTar
from carfront.datasets.source import Source
from carfront.datasets.store import Store, opened, store_at
from carfront.datasets.write import new_index, resumed, write
from carfront.errors import CarfrontError, DataSetError
from carfront.stops import ending_at_once

FEWEST_MB, MOST_MB = 2, 512
"""The bounds of a shard's size in MB."""


@click.command(
    epilog=example("carfront generate --seeds 0:1000000 -o cars --bundle models/cars-dcgan/2")
)
@click.option("--seeds", required=True, metavar="FIRST:END", help="END is not drawn any more.")
@click.option("-o", "--output", required=True, metavar="DIR|FILE.tar|s3://BUCKET/PREFIX")
@click.option("--format", "form", type=click.Choice(FORMATS), default="tar", show_default=True)
@click.option("--shard-mb", type=click.IntRange(FEWEST_MB, MOST_MB), default=64, show_default=True)
@click.option(
    "--part",
    type=click.IntRange(0),
    help="Shift the seeds by so many times their number, and write to OUTPUT/part-PART.",
)
@click.option("--model", help="With --url: the model.")
@click.option("--version", help="With --url: the model's version.")
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="With --url: how long to wait for servers that are gone or full.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the index at the end.")
@drawing_options
@urls_option
@bundle_option
@provider_option
@precision_option
def generate(
    seeds: str,
    output: str,
    form: str,
    shard_mb: int,
    part: int | None,
    model: str | None,
    version: str | None,
    patience_s: float,
    as_json: bool,
    truncation: float,
    class_: str | None,
    urls: Sequence[str],
    bundle: Path | None,
    provider: str,
    precision: str,
) -> None:
    """Draw the images of many seeds into a data set, from servers or from a bundle.

    It is written in shards, each whole or not at all, with an index of their SHA-256. Called again
    after Ctrl-C, a crash or kill -9, the same command goes on.

    \b
    Formats: tar     PNGs in tars, as WebDataset reads them
             npy     uint8 [n, height, width, channels]
             parquet seeds and PNGs, as Hugging Face reads them (needs pyarrow)
    """
    wanted = seeds_of(seeds)
    if part is not None:
        wanted = part_of(wanted, part)
        output = f"{output.rstrip('/')}/part-{part:05}"
    if bundle:
        with ending_at_once():
            source = source_of(bundle, provider, precision, truncation, class_)
    else:
        clients = clients_of(urls or (DEFAULT_URL,), model, version)
        source = ServersSource(clients, truncation, class_, patience_s)
    with closing(source):
        index = _generated(source, wanted, output, form, shard_mb)
    if as_json:
        click.echo(index.to_json())


def _generated(source: Source, seeds: range, output: str, form: str, shard_mb: int) -> Index:
    """Bring the data set at ``output`` to its end, and return its index."""
    if is_one_tar(output):
        if form != "tar":
            raise click.UsageError(f"--format is {form}; wanted tar for an output in one tar")
        return _one_tar(SingleTar(Path(output)), source, seeds, shard_mb)
    with ending_at_once():
        store, index = store_at(output), new_index(source, seeds, form, shard_mb)
    return _shards(store, source, index, output)


def _shards(store: Store, source: Source, index: Index, output: str) -> Index:
    """Bring the data set in ``store`` to its end, however often that was interrupted."""
    with opened(store):
        index = resumed(index, store)
        total = index.seeds.stop - index.seeds.start
        try:
            with Progress(total, index.images, output) as progress:
                write(index, source, store, progress.advance)
        except KeyboardInterrupt as stop:
            raise type(stop)(
                f"Stopped: {index.images:,} of {total:,} images are in {output}, in whole files. "
                "The same command goes on."
            ) from stop
        except CarfrontError:
            told = f"{index.images:,} of {total:,} images are in {output}, in whole files; "
            click.echo(f"{told}the same command goes on.", err=True)
            raise
    return index


def _one_tar(tar: SingleTar, source: Source, seeds: range, shard_mb: int) -> Index:
    """Bring the data set in one tar to its end."""
    index = new_index(source, seeds, "tar", shard_mb)
    known = tar.reader().read(INDEX)
    if known and tar.path.exists():
        there = read_index(known, f"{tar.path}.json")
        there.images_per_shard = index.images_per_shard  # one tar has all
        there.check_same(index, str(tar.path))
        tar.remove_parts()
        return read_index(known, f"{tar.path}.json")
    if tar.path.exists():
        raise DataSetError(f"{tar.path} is there already, without its index; wanted another name")
    index = _shards(tar.parts, source, index, str(tar.path))
    try:
        whole = tar.join(index)
    except KeyboardInterrupt as stop:
        raise type(stop)(
            f"Stopped: all images are in {tar.parts.place}. The same command makes one tar of them."
        ) from stop
    tar.remove_parts()
    return whole

"""Look at the directions of a bundle, and store those that have a name.

Without names, it finds the directions and writes a picture of each into build/directions/: a row a
seed, the steps from -3 to 3 standard deviations from left to right. A person looks at them and says
what changes from left to right; "-" leaves a direction out:

    python -m export.name_directions models/NAME/VERSION
    python -m export.name_directions models/NAME/VERSION --names "dark to light" - "low to tall"

The second one stores the first and the third direction by these names. The manifest alone changes,
in place: the bundle draws the same images, and has the same key.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from export.directions import find_directions
from export.pictures import MODES, picture
from export.rows import RowFacts, feeds
from server.bundle.directions import Direction
from server.bundle.errors import BundleError
from server.bundle.files import Bundle, load_bundle
from server.bundle.manifest import FLOATS, MANIFEST, manifest_of, write_manifest

STEPS = tuple(range(-3, 4))
"""The steps of a picture, in standard deviations of the latents."""
ROWS = 8
HEIGHT = 96
"""The height in pixels, about, to which images are enlarged."""
OUT = Path("build") / "directions"
LEFT_OUT = "-"


class WrongNames(ValueError):
    """The names do not fit the directions."""


def facts_of(bundle: Bundle) -> RowFacts:
    """Return how the bundle's seeds become rows."""
    latents = bundle.manifest.latents
    return RowFacts(latents.dim, latents.distribution, len(bundle.manifest.classes))


def directions_of(bundle: Bundle) -> list[Direction]:
    """Return the directions of the bundle's generator, which have no names yet."""
    return find_directions(_graph(bundle), facts_of(bundle))


def named(found: Sequence[Direction], names: Sequence[str]) -> list[Direction]:
    """Return the directions that have a name among ``names``, in order; "-" stands for none.

    Raises:
        WrongNames: there are more names than directions.
    """
    if len(names) > len(found):
        raise WrongNames(f"names: {len(names)} are given; wanted at most {len(found)}")
    pairs = zip(found, names, strict=False)
    return [replace(direction, name=name) for direction, name in pairs if name != LEFT_OUT]


def store(bundle: Bundle, directions: list[Direction]) -> None:
    """Write the bundle's manifest with ``directions``; nothing else of the bundle changes.

    Raises:
        BundleError: a name cannot be used; nothing is written.
    """
    manifest = replace(bundle.manifest, directions=directions)
    with tempfile.TemporaryDirectory(dir=bundle.path.parent, prefix=".partial-") as draft:
        write_manifest(manifest, Path(draft))
        file = Path(draft) / MANIFEST
        manifest_of(json.loads(file.read_text()), str(bundle.path / MANIFEST))
        shutil.copymode(bundle.path / MANIFEST, file)
        file.replace(bundle.path / MANIFEST)


def look(bundle: Bundle, directions: Sequence[Direction], folder: Path) -> list[Path]:
    """Write a picture of each direction into ``folder``; return the pictures' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    session = ort.InferenceSession(
        _graph(bundle).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    paths = []
    for number, direction in enumerate(directions, 1):
        rows = moved(facts_of(bundle).of(range(ROWS)), direction)
        floats = session.run(None, feeds(session.get_inputs(), rows))[0]
        images = np.clip(np.rint((floats + 1) * 127.5), 0, 255).astype(np.uint8)
        manifest = bundle.manifest
        path = folder / f"{manifest.name}-{manifest.version}-{number}.png"
        sheet(images).save(path)
        paths.append(path)
    return paths


def moved(rows: NDArray[np.float32], direction: Direction) -> NDArray[np.float32]:
    """Return each of ``rows`` at each of the steps, float32 [rows * steps, ...]."""
    every = np.repeat(rows, len(STEPS), axis=0)
    way = np.array(direction.latents, np.float32)
    every[:, : len(way)] += np.tile(np.array(STEPS, np.float32), len(rows))[:, None] * way
    return every


def sheet(images: NDArray[np.uint8]) -> Image.Image:
    """Return ``images`` with a row for each seed and a column for each step, enlarged."""
    _, height, width, channels = images.shape
    rows = len(images) // len(STEPS)
    whole = Image.new(MODES[channels], (len(STEPS) * width, rows * height))
    for i, image in enumerate(images):
        row, column = divmod(i, len(STEPS))
        whole.paste(picture(image), (column * width, row * height))
    zoom = max(1, HEIGHT // height)
    return whole.resize((whole.width * zoom, whole.height * zoom), Image.Resampling.NEAREST)


def _graph(bundle: Bundle) -> onnx.ModelProto:
    return onnx.load(str(bundle.path / bundle.manifest.variant(FLOATS).file))


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.name_directions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="directory of the bundle: models/cars-dcgan/2")
    parser.add_argument("--names", nargs="+", help='a name for each direction, "-" leaves one out')
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the pictures")
    options = parser.parse_args(argv)
    try:
        bundle = load_bundle(options.bundle)
        found = directions_of(bundle)
        for path in look(bundle, found, options.out):
            print(path)
        if options.names:
            store(bundle, named(found, options.names))
            print(f"done: {options.bundle / MANIFEST}")
    except (BundleError, WrongNames, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

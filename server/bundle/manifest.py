"""The bundle: one version of one model, with the facts that the server needs and can check.

The reader of the bundle owns its format; ``export`` writes what these classes say.
"""

import json
import os
import re
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import GenericAlias
from typing import Any, get_args, get_origin

from server.bundle.errors import BundleError as BundleError  # others import it from here
from server.bundle.latents import RULE, SEEDS
from server.bundle.regular_files import read_whole

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
LATEST = "latest"


MOST_BYTES = 2**20
"""The bytes that a manifest has at most; that of the default bundle has 10,052."""
MOST_NESTED = 32
"""The levels of lists and objects within each other that a manifest has at most."""
MOST_LATENTS = 2**16
MOST_PIXELS = 4096
"""The height and the width of an image at most, in pixels."""
CHANNELS = range(1, 5)
TOLD = 200
"""The characters of a wrong value that an error shows at most."""


@dataclass(frozen=True)
class FileFacts:
    sha256: str
    size: int


@dataclass(frozen=True)
class LatentsFacts:
    dim: int
    distribution: str
    rule: int
    """The version of the seed-to-latents rule, ``server.bundle.latents.RULE``."""


@dataclass(frozen=True)
class ImageFacts:
    shape: list[int]
    """The height, the width and the number of channels."""
    dtype: str
    range: list[int]
    colors: str
    """The order of the channels, "RGB"."""


@dataclass(frozen=True)
class GraphFacts:
    input: str
    output: str
    opset: int


@dataclass(frozen=True)
class Variant:
    """One ONNX file: the same generator in one precision and one form."""

    name: str
    file: str
    precision: str
    rewrite: str
    parity: dict[str, Any]
    """A summary of what the parity check measured on the variant; ``parity.json`` is complete."""
    refused: list[str] = field(default_factory=list)
    """The plans, such as "openvino/f32", that must not serve it: one seed drew several images."""
    plans: list[str] = field(default_factory=list)
    """The only plans that may serve the variant, which was made for them; empty allows any plan."""


@dataclass(frozen=True)
class Golden:
    """Images that every runtime has to reproduce before it may serve."""

    seeds: list[int]
    sha256: list[str]
    """The SHA-256 of each golden image's pixels, uint8 in row-major order, in hexadecimal."""
    file: str
    """The name of the .npy file with the golden images, uint8 [len(seeds), *image.shape]."""
    tolerance: int
    """The grey levels by which a pixel may differ on other hardware or in another precision."""


@dataclass(frozen=True)
class Manifest:
    """The contents of ``manifest.json``: the contract between export and server."""

    schema_version: int
    name: str
    version: str
    latents: LatentsFacts
    image: ImageFacts
    graph: GraphFacts
    variants: list[Variant]
    golden: Golden
    files: dict[str, FileFacts]
    lineage: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the manifest as it stands in ``manifest.json``."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def variant(self, name: str) -> Variant:
        """Return the variant called ``name``.

        Raises:
            BundleError: the bundle has no such variant.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        names = ", ".join(variant.name for variant in self.variants)
        raise BundleError(f"{self.name} {self.version} has no variant {name!r}; it has {names}")


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in the file ``path``, every member of the right type.

    Raises:
        BundleError: the manifest cannot be read, has another schema or another seed rule, or a
            member of it is missing, unknown or of the wrong type.
    """
    try:
        facts = json.loads(read_whole(path, MOST_BYTES))
    except ValueError as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    except RecursionError as error:
        raise BundleError(f"{path} is nested too deeply to be read") from error
    return manifest_of(facts, str(path))


def manifest_of(facts: Any, place: str) -> Manifest:
    """Return the manifest made of ``facts``, parsed JSON; errors name ``place`` as their source.

    Raises:
        BundleError: the manifest has another schema or another seed rule, or a member of it is
            missing, unknown or of the wrong type.
    """
    schema = facts.get("schema_version") if isinstance(facts, dict) else None
    if schema != SCHEMA_VERSION:
        raise BundleError(
            f"{place} has schema version {_told(schema)}; this server reads {SCHEMA_VERSION}"
        )
    _check_nesting(facts, place, MOST_NESTED)
    manifest: Manifest = _read(Manifest, facts, place)
    if manifest.latents.rule != RULE:
        rule = manifest.latents.rule
        raise BundleError(f"{place} wants seed rule {rule}; this server has {RULE}")
    _check_values(manifest, place)
    return manifest


def _check_nesting(value: Any, place: str, levels: int) -> None:
    """Check how deeply ``value`` is nested: what is written of it later recurses as deeply."""
    if not levels:
        raise BundleError(f"{place} is nested too deeply: {MOST_NESTED} levels are read")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        _check_nesting(each, place, levels - 1)


def _check_values(manifest: Manifest, place: str) -> None:
    """Check the numbers that decide how much memory is taken."""
    if not 1 <= manifest.latents.dim <= MOST_LATENTS:
        dim = manifest.latents.dim
        raise BundleError(f"{place}: latents: dim is {_told(dim)}; wanted 1 to {MOST_LATENTS}")
    shape, sides = manifest.image.shape, range(1, MOST_PIXELS + 1)
    if len(shape) != 3 or not (shape[0] in sides and shape[1] in sides and shape[2] in CHANNELS):
        raise BundleError(
            f"{place}: image: shape is {_told(shape)}; wanted height and width of 1 to "
            f"{MOST_PIXELS}, and {CHANNELS[0]} to {CHANNELS[-1]} channels"
        )
    if not all(0 <= seed < SEEDS for seed in manifest.golden.seeds):
        raise BundleError(f"{place}: golden: seeds: wanted 0 to 2^64 - 1 for each")


def _told(value: Any) -> str:
    """Return ``value`` for an error's message, which shows the beginning of a long one."""
    text = repr(value)
    return text if len(text) <= TOLD else f"{text[:TOLD]}..."


def _read(kind: Any, value: Any, place: str) -> Any:
    """Return ``value``, parsed JSON, as a ``kind``: a dataclass, list, dict or plain type."""
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _read_fields(kind, value, place)
    if isinstance(kind, GenericAlias):
        return _read_container(kind, value, place)
    if type(value) is not kind:
        raise BundleError(f"{place} is {_told(value)}; wanted a {kind.__name__}")
    return value


def _read_fields(kind: Any, value: Any, place: str) -> Any:
    names = {f.name for f in fields(kind)}
    # Old bundles lack the fields that have a default factory.
    since = {f.name for f in fields(kind) if f.default_factory is not MISSING}
    if not isinstance(value, dict) or not names - since <= set(value) <= names:
        found = sorted(value) if isinstance(value, dict) else value
        raise BundleError(f"{place} is {_told(found)}; wanted the members {sorted(names)}")
    return kind(
        **{
            f.name: _read(f.type, value[f.name], f"{place}: {f.name}")
            for f in fields(kind)
            if f.name in value
        }
    )


def _read_container(kind: Any, value: Any, place: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if type(value) is not origin:
        raise BundleError(f"{place} is {_told(value)}; wanted a {origin.__name__}")
    if origin is list:
        return [_read(inner[0], x, f"{place}[{i}]") for i, x in enumerate(value)]
    return {name: _read(inner[1], x, f"{place}: {name}") for name, x in value.items()}


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.json`` into ``folder`` and make sure that it is on the disk."""
    with (folder / MANIFEST).open("w") as file:
        file.write(manifest.to_json())
        file.flush()
        os.fsync(file.fileno())

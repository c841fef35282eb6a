"""The bundle: one version of one model, with the facts that the server needs and can check.

The reader of the bundle owns its format; ``export`` writes what these classes say.
"""

import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from server.bundle.directions import Direction
from server.bundle.errors import BundleError as BundleError  # others import it from here
from server.bundle.latents import RULES
from server.bundle.manifest_values import check_values
from server.bundle.regular_files import read_whole
from server.bundle.typed_json import check_nesting, read_as, told

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
LATEST = "latest"
MOST_BYTES = 2**20
"""The bytes that a manifest has at most; that of the default bundle has 10,052."""
FLOATS = "floats"
"""The variant whose output is ``images_float``, float32 in [-1, 1]; not every bundle has it."""
GRADIENT = "gradient"
"""The variant that gives the gradient of a loss with respect to the latents, from that with respect
to the images; not every bundle has it."""


@dataclass(frozen=True)
class FileFacts:
    sha256: str
    size: int


@dataclass(frozen=True)
class LatentsFacts:
    dim: int
    distribution: str
    """A key of ``server.bundle.latents.RULES``, "normal" or "uniform"."""
    rule: int
    """The seed-to-latents rule of that distribution."""


@dataclass(frozen=True)
class ImageFacts:
    shape: list[int]
    """The height, the width and the number of channels."""
    dtype: str
    range: list[int]
    colors: str
    """The order of the channels, which ``manifest_values.COLORS`` has for their number."""


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
    least_rows: dict[str, int] = field(default_factory=dict)
    """The rows of the smallest batch by plan: its sums have another order in smaller ones, which
    are padded. A plan that is not listed takes any batch."""


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
    classes: list[str] = field(default_factory=list)
    """The names of a conditional generator's classes, whose graph has the input ``class`` too,
    int64 [batch]; an unconditional generator has none."""
    directions: list[Direction] = field(default_factory=list)
    """The directions that people may move latents along; they decide nothing that is drawn."""
    evaluation: dict[str, Any] = field(default_factory=dict)
    """What an evaluation found of the images, and how; it decides nothing that is drawn."""
    before_evaluation: dict[str, FileFacts] = field(default_factory=dict)
    """The facts of files as they were until the evaluation was written into them."""

    def to_json(self) -> str:
        """Return the manifest as it stands in ``manifest.json``."""
        facts = asdict(self)
        for name in ("classes", "directions", "evaluation", "before_evaluation"):
            if not facts[name]:  # what bundles had no member for keeps its bytes, and so its key
                del facts[name]
        return json.dumps(facts, indent=2) + "\n"

    @property
    def has_floats(self) -> bool:
        """Whether the bundle has a graph of float images."""
        return any(variant.name == FLOATS for variant in self.variants)

    @property
    def has_gradient(self) -> bool:
        """Whether the bundle has the gradient of its images with respect to the latents."""
        return any(variant.name == GRADIENT for variant in self.variants)

    def what_draws(self) -> str:
        """Return the manifest without what decides nothing that is drawn, as JSON.

        Two bundles draw the same images if these texts are the same.
        """
        variants = [variant for variant in self.variants if variant.name != GRADIENT]
        unread = {x.file for x in self.variants} - {x.file for x in variants}
        files = {
            name: facts
            for name, facts in (self.files | self.before_evaluation).items()
            if name not in unread
        }
        return replace(
            self, directions=[], evaluation={}, before_evaluation={}, variants=variants, files=files
        ).to_json()

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
            f"{place} has schema version {told(schema)}; this server reads {SCHEMA_VERSION}"
        )
    check_nesting(facts, place)
    manifest: Manifest = read_as(Manifest, facts, place)
    rule, distribution = manifest.latents.rule, manifest.latents.distribution
    if rule != RULES.get(distribution):
        known = " and ".join(f"{number} ({name})" for name, number in RULES.items())
        raise BundleError(
            f"{place} wants seed rule {rule} ({told(distribution)}); this server has {known}"
        )
    check_values(manifest, place)
    return manifest


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.json`` into ``folder`` and make sure that it is on the disk."""
    with (folder / MANIFEST).open("w") as file:
        file.write(manifest.to_json())
        file.flush()
        os.fsync(file.fileno())

"""The index of a data set, ``index.json``: its shards with their digests, and what drew them."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from carfront.datasets.formats import FORMATS
from carfront.datasets.seeds import Shard, shards_of
from carfront.errors import DataSetError

INDEX = "index.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Lineage:
    """What decides about the images of a data set besides their seeds."""

    model: str
    version: str
    plan: str
    """The provider and the precision that drew, ``openvino/bf16``."""
    seed_rule: int
    """The rule that turned seeds into latents; 0 where a server did not tell."""
    bundle: str
    """64 bits of the manifest's SHA-256 in hexadecimal; empty where a server did not tell."""
    truncation: float = 1.0
    class_: str | None = None
    """The class of all images; None where each has its seed's, or the model has no classes."""

    def facts(self) -> dict[str, Any]:
        """Return the lineage as the index has it."""
        return {name.rstrip("_"): fact for name, fact in asdict(self).items()}


@dataclass(frozen=True)
class ShardFacts:
    """A shard that is there, whole."""

    name: str
    first_seed: int
    images: int
    bytes: int
    sha256: str


@dataclass
class Index:
    """What a data set is to hold, and what of it is there."""

    format: str
    seeds: range
    images_per_shard: int
    shape: tuple[int, int, int]
    """The height, the width and the number of channels of an image."""
    lineage: Lineage
    shards: dict[str, ShardFacts] = field(default_factory=dict)
    """The shards that are there, by their names."""
    suffix: str = ""
    """How the names of shards end."""

    def wanted(self) -> list[Shard]:
        """Return all shards that belong to the data set, in the order of their seeds."""
        return shards_of(self.seeds, self.images_per_shard, self.suffix)

    @property
    def images(self) -> int:
        """The number of images that are there."""
        return sum(shard.images for shard in self.shards.values())

    @property
    def is_complete(self) -> bool:
        """Whether every image is there."""
        return self.images == self.seeds.stop - self.seeds.start

    def add(self, shard: Shard, size: int, sha256: str) -> None:
        """Note that ``shard`` is there."""
        self.shards[shard.name] = ShardFacts(
            shard.name, shard.seeds.start, len(shard.seeds), size, sha256
        )

    def to_json(self) -> bytes:
        """Return the index as it stands in its file."""
        facts = {
            "schema_version": SCHEMA_VERSION,
            "complete": self.is_complete,
            "format": self.format,
            "seeds": {"first": self.seeds.start, "end": self.seeds.stop},
            "images": self.images,
            "images_per_shard": self.images_per_shard,
            "image": {"shape": list(self.shape), "dtype": "uint8"},
            "lineage": self.lineage.facts(),
            "shards": [asdict(self.shards[name]) for name in sorted(self.shards)],
        }
        return (json.dumps(facts, indent=1) + "\n").encode()

    def check_same(self, other: "Index", place: str) -> None:
        """Check that ``other``, which is to go on at ``place``, is the same data set.

        Raises:
            DataSetError: it is not; the first fact that differs is named.
        """
        for name in ("format", "seeds", "images_per_shard", "shape", "lineage"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise DataSetError(
                    f"{place} holds another data set: {name} is {_told(mine)} there and "
                    f"{_told(theirs)} here; wanted the same, or another place"
                )


def read_index(data: bytes, place: str) -> Index:
    """Return the index in ``data``, the content of the index at ``place``.

    Raises:
        DataSetError: it is none that is read here.
    """
    try:
        facts = json.loads(data)
        if facts["schema_version"] != SCHEMA_VERSION or facts["format"] not in FORMATS:
            raise ValueError(f"its schema is {facts['schema_version']}")
        return _index(facts)
    except (KeyError, TypeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        raise DataSetError(f"{place} is no index of a data set that is read: {told}") from error


def _index(facts: dict[str, Any]) -> Index:
    height, width, channels = map(int, facts["image"]["shape"])
    shards = [ShardFacts(**shard) for shard in facts["shards"]]
    lineage = facts["lineage"]
    return Index(
        facts["format"],
        range(facts["seeds"]["first"], facts["seeds"]["end"]),
        facts["images_per_shard"],
        (height, width, channels),
        Lineage(**{"class_" if name == "class" else name: x for name, x in lineage.items()}),
        {shard.name: shard for shard in shards},
        f".{facts['format']}",
    )


def _told(value: object) -> str:
    if isinstance(value, range):
        return f"{value.start}:{value.stop}"
    return str(value.facts()) if isinstance(value, Lineage) else str(value)

"""The measure of the protocols: its ratios, its bodies, and the server that has no orjson."""

import json
import os
import subprocess
import sys

import numpy as np
import orjson
import pytest

from loadtests import protocols
from loadtests.standard_json import orjson as standard

ROUND = {
    "orjson": 50.0, "standard json": 10.0, "1,024 binary rows": 9.0,
    "1,024 as .npy of latents": 10.0, "1,024 as .npy of seeds": 9.0,
    "entity tags that are right": 30.0, "drawn PNGs": 10.0,
}  # fmt: skip


def test_ratios_are_medians_of_the_rounds():
    slow = ROUND | {"orjson": 20.0}
    fast = ROUND | {"orjson": 900.0}
    found = protocols.ratios([slow, ROUND, fast])
    assert found == {
        "JSON of 64 rows": 5.0,
        "1,024 rows against .npy of latents": 0.9,
        "1,024 rows against .npy of seeds": 1.0,
        "single PNGs": 3.0,
    }
    assert "| JSON of 64 rows | 5.00 | 2.00 to 90.00 |" in protocols.table([slow, ROUND, fast])


def test_every_load_is_part_of_a_ratio(monkeypatch, tmp_path):
    monkeypatch.setattr(protocols, "get", lambda url: b'{"model": "cars"}')
    monkeypatch.setattr(protocols, "tag_of", lambda url: '"tag"')
    urls = dict.fromkeys((protocols.OURS, protocols.STANDARD, protocols.DEFAULT), "http://x")
    loads = protocols.loads_of(urls, tmp_path)
    assert {x.name for x in loads} == {name for _, *pair in protocols.PAIRS for name in pair}
    assert {x.name for x in loads} == {*ROUND}
    document = json.loads((tmp_path / "rows.json").read_bytes())
    assert len(document["inputs"][0]["data"]) == 64 * 100
    assert np.load(tmp_path / "latents.npy").shape == (1024, 100)


@pytest.mark.parametrize("value", [{"a": [1, 0.5, None]}, [], "\u00e9"])
def test_standard_json_says_what_orjson_says(value):
    assert standard.loads(standard.dumps(value)) == orjson.loads(orjson.dumps(value))
    assert standard.loads(memoryview(orjson.dumps(value))) == value


def test_standard_json_writes_arrays():
    images = np.arange(5, dtype=np.uint8)
    option = orjson.OPT_SERIALIZE_NUMPY
    assert standard.dumps(images, option=standard.OPT_SERIALIZE_NUMPY) == orjson.dumps(
        images, option=option
    )


def test_server_without_orjson_finds_the_standard_one():
    code = "import server.api.oip_infer as module; print(module.orjson.__file__)"
    environ = {**os.environ, **protocols.STANDARD_JSON}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip().endswith("loadtests/standard_json/orjson.py")

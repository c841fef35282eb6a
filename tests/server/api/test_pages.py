"""The front page's facts, in JSON."""

from dataclasses import replace

import pytest

from server.bundle.manifest_values import COLORS


def changed(client, **changes):
    """Have the manifest of the default model of ``client`` say something else."""
    (ref, entry), *rest = client.catalog.entries.items()
    entry = replace(entry, manifest=replace(entry.manifest, **changes))
    client.catalog = replace(client.catalog, entries={ref: entry, **dict(rest)})
    return entry.manifest


@pytest.mark.parametrize("channels", COLORS)
def test_facts_say_size_and_colors(client, http, channels):
    image = client.catalog.find().manifest.image
    changed(client, image=replace(image, shape=[20, 24, channels], colors=COLORS[channels]))
    facts = http.get("/").json
    assert facts["image"] == {
        "shape": [20, 24, channels],
        "dtype": "uint8",
        "colors": COLORS[channels],
    }
    assert facts["latents"] == {"dim": 100, "distribution": "normal"}


def test_facts_list_the_classes_of_a_model_that_has_any(client, http):
    assert "classes" not in http.get("/").json
    assert not any("class" in path for path in http.get("/").json["try"])
    changed(client, classes=["cat", "<cow> & 'calf'"])
    assert http.get("/").json["classes"] == ["cat", "<cow> & 'calf'"]
    assert "GET /v1/images/{seed}.png?class={class}" in http.get("/").json["try"]


def test_caches_keep_page_and_facts_apart(http):
    assert http.get("/").headers["Vary"] == "Accept"
    assert "Accept" in http.get("/", headers={"Accept": "text/html"}).headers["Vary"]

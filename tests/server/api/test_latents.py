"""Latents and directions that a URL names."""

import numpy as np
import pytest

from server.bundle.latents import latents

VERSION = "/v1/models/cars-dcgan/versions/1"


@pytest.mark.parametrize("base", ["/v1", VERSION])
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_latents_of_a_seed_are_told_exactly(http, base, seed):
    told = http.get(f"{base}/latents/{seed}").json["latents"]
    assert np.array_equal(np.array(told, np.float32), latents([seed], 100))


@pytest.mark.parametrize("base", ["/v1", VERSION])
def test_directions_are_those_of_the_bundle(client, http, base):
    answer = http.get(f"{base}/directions")
    wanted = client.catalog.find().manifest.directions
    assert [x["name"] for x in answer.json["directions"]] == [x.name for x in wanted]
    assert answer.json["directions"][0]["latents"] == wanted[0].latents
    assert answer.headers["Cache-Control"] == "public, max-age=60"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/v1/latents/x", 400, "seed is 'x'"),
        (f"/v1/latents/{2**64}", 400, "seed is"),
        ("/v1/latents/7?truncation=1", 400, "query is 'truncation=1'; wanted none"),
        ("/v1/models/cars-dcgan/versions/9/latents/7", 404, "cars-dcgan/9"),
        ("/v1/models/vans/versions/3/directions", 503, "vans/3"),
    ],
)
def test_what_cannot_be_told_is_refused(http, path, status, told):
    answer = http.get(path)
    assert answer.status_code == status
    assert told in answer.json["detail"]

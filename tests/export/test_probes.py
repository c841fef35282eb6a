import numpy as np
import pytest

from export.probes import GOLDEN_SEEDS, make_probes, place
from server.bundle.latents import latents


def test_golden_seeds_come_first_and_reach_both_ends(probes):
    assert {0, 1, 2**64 - 1} <= set(GOLDEN_SEEDS)
    assert len(set(GOLDEN_SEEDS)) == 16
    np.testing.assert_array_equal(probes[0].latents[:16], latents(GOLDEN_SEEDS, 100))
    np.testing.assert_array_equal(probes[0].latents[16:18], latents([0, 1], 100))


def test_there_are_at_least_256_rows_of_float32(probes):
    assert sum(len(probe.latents) for probe in probes) >= 256
    assert all(probe.latents.dtype == np.float32 for probe in probes)
    assert all(probe.latents.shape[1] == 100 for probe in probes)


def test_an_export_compares_on_4096_rows():
    assert sum(len(probe.latents) for probe in make_probes(100)) == 4096


def test_denormals_are_denormal(probes):
    (probe,) = [probe for probe in probes if probe.name == "denormal"]
    size = np.abs(probe.latents)
    assert (size > 0).all()
    assert (size < np.finfo(np.float32).tiny).all()


@pytest.mark.parametrize("latent_dim", [1, 2, 7, 128])
def test_any_latent_dim_has_probes(latent_dim):
    assert all(probe.latents.shape[1] == latent_dim for probe in make_probes(latent_dim))


def test_place_names_the_probe_and_the_row_in_it(probes):
    first = len(probes[0].latents)
    assert place(probes, 17) == "seeds[17]"
    assert place(probes, first + 3) == f"{probes[1].name}[3]"
    with pytest.raises(IndexError):
        place(probes, 10**6)

import re

import numpy as np
import pytest

from export.probes import GOLDEN_SEEDS, Exam, golden_seeds, make_probes, place, rows_for
from export.report import Report
from server.bundle.latents import latents
from server.runtime.session import most_rows


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


@pytest.mark.parametrize(
    ("size", "rows"), [(28, 4096), (64, 4096), (128, 1365), (256, 341), (1024, 256)]
)
def test_large_images_are_compared_on_fewer_latents(size, rows):
    assert rows_for((size, size, 3)) == rows
    for latent_dim in (1, 100, 512):
        assert sum(len(probe.latents) for probe in make_probes(latent_dim, rows)) == rows


@pytest.mark.parametrize(
    ("size", "batch", "others"),
    [(32, 64, 16), (64, 64, 16), (128, 16, 11), (256, 4, 6), (2048, 1, 1)],
)
def test_large_images_are_drawn_in_the_batches_of_a_server(size, batch, others):
    probes = make_probes(8, rows=0)
    exam = Exam(probes, probes[0].latents, np.empty((0, size, size, 3), np.float32))
    assert exam.batch_size == batch == min(64, most_rows((size, size, 3)))
    assert len(exam.other_sizes) == others
    assert max(exam.other_order, batch) <= max(2 * batch, *exam.other_sizes)


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


@pytest.mark.parametrize("count", [2, 10, 12, 100])
def test_classes_are_those_of_the_seeds_and_in_turn_elsewhere(count):
    probes = make_probes(8, rows=0, class_count=count)
    seeds = golden_seeds(count)
    assert {seed % count for seed in seeds} >= set(range(min(count, 64)))
    assert seeds[:16] == GOLDEN_SEEDS
    first = [*seeds, *range(128)]
    assert probes[0].latents[: len(first), -1].tolist() == [seed % count for seed in first]
    np.testing.assert_array_equal(probes[0].latents[: len(first), :-1], latents(first, 8))
    by_name = {probe.name: probe.latents for probe in probes}
    for name in ("repeated", "zeros"):
        assert (by_name[name] == by_name[name][0]).all(), "rows that must give the same image"
    assert by_name["five sigma"][:4, -1].tolist() == [i % count for i in range(4)]
    assert Report(probes).latents().startswith(f"{sum(map(len, by_name.values()))} latents of ")


def test_report_says_of_how_many_classes_images_were_compared():
    assert " latents of all 10 classes, not " in Report(make_probes(8, 0, class_count=10)).latents()
    many = Report(make_probes(8, 0, class_count=1000))
    assert re.search(r" latents of \d{3} of 1,000 classes, not ", many.latents())
    assert many.facts()["classes"] == 1000
    assert "classes" not in Report(make_probes(8, 0)).facts()

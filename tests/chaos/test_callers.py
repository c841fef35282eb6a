"""How much the callers ask for."""

import pytest

from tests.chaos.callers import largest


@pytest.mark.parametrize(
    ("images_per_s", "clients", "most"),
    [(11_000, 16, 512), (560, 16, 105), (560, 4, 420), (1, 16, 1)],
)
def test_largest_requests_of_all_callers_fit_a_short_queue(images_per_s, clients, most):
    assert largest(images_per_s, clients) == most

"""Odd JSON values and texts, which Hypothesis thinks of: the same ones for the same seed."""

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

MOST = 400
"""The number of values and of texts that are kept."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["n", "seed", "format", "model", "version", "ready", "parameters"]) | st.text(),
    st.integers(-1, 64) | st.sampled_from(["png", "npy", "1", "cars-dcgan"]) | JSON,
    max_size=5,
)


@dataclass(frozen=True)
class OddValues:
    """What the cases draw from."""

    values: list[Any]
    """JSON values of any type, NaN and infinities among them."""
    documents: list[dict[str, Any]]
    """JSON objects that have some of the members that requests have."""
    texts: list[str]
    """Texts of any characters, without lone surrogates."""

    @classmethod
    def of(cls, number: int) -> "OddValues":
        """Return the values of the seed ``number``."""
        texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
        return cls(drawn(JSON, number), drawn(DOCUMENTS, number), drawn(texts, number))


def drawn(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    """Return ``MOST`` values of the ``strategy``, the same ones for the same ``number``."""
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=MOST,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found

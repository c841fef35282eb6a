"""A bundle that an engine has loaded, with the graphs of it that are opened on demand."""

from collections.abc import Callable
from dataclasses import dataclass, field

from server.bundle.manifest import FLOATS, GRADIENT
from server.engine.models import ServedModel
from server.runtime.plans import Plan


@dataclass
class OnDemand:
    """A graph of a bundle that is opened when somebody first asks for what it gives."""

    open: Callable[[], "Loaded"] | None = None
    """The function that opens the graph; None where the bundle has none."""
    loaded: "Loaded | None" = None
    """What the graph gives, once it is open."""
    refusal: str = ""
    """The reason why the graph cannot be opened; empty if it may be."""


@dataclass
class Loaded:
    """A bundle that can be served, or what a graph of one gives, and the plan that runs it."""

    served: ServedModel
    plan: Plan
    failed: list[Plan]
    """The plans that were tried before ``plan`` and cannot run the bundle on this host."""
    finish: Callable[[], None] | None = None
    """The function that does the rest for full speed; the bundle is served correctly meanwhile."""
    on_demand: dict[str, OnDemand] = field(
        default_factory=lambda: {FLOATS: OnDemand(), GRADIENT: OnDemand()}
    )
    """The graphs of float images and of the gradient, by their variants."""

    @property
    def all_served(self) -> list[ServedModel]:
        """The models that are served of the bundle: it, and what open graphs give."""
        open_ones = (graph.loaded for graph in self.on_demand.values())
        return [self.served, *(loaded.served for loaded in open_ones if loaded)]

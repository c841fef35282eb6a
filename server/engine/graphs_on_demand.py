"""The graphs of float images and of gradients, opened when somebody first asks for what they give.

A server that nobody asks has none of them open. Once a model draws float images, its newer versions
and the next engine do so from their start; and so with its gradient.
"""

import logging
from collections.abc import Callable

from server.bundle.errors import BundleError, BundleUnreadable
from server.bundle.files import Bundle, floats_key, gradient_key
from server.bundle.manifest import FLOATS, GRADIENT
from server.config import FLOATS_NO, FLOATS_YES
from server.engine import load_notes
from server.engine.catalog_publisher import CatalogPublisher
from server.engine.load_notes import noted
from server.engine.loaded import Loaded, OnDemand
from server.ipc.engine_dir import EngineDir
from server.runtime.plans import SessionError

log = logging.getLogger(__name__)

SET_NO = "CARFRONT_FLOAT_IMAGES is no"
NO_GRAPH = {FLOATS: "the bundle has no graph of them", GRADIENT: "the bundle has no graph of it"}
GIVES = {FLOATS: "float images", GRADIENT: "the gradient"}
"""What each kind of graph gives, in words."""
KEYS = {FLOATS: floats_key, GRADIENT: gradient_key}


class GraphsOnDemand:
    """Opens graphs as callers want them, and as the setting CARFRONT_FLOAT_IMAGES does.

    What restores photographs reads float images, so ``no`` is for gradients too; ``yes`` opens
    graphs of float images from the start.
    """

    def __init__(
        self,
        setting: str,
        engine_dir: EngineDir,
        publisher: CatalogPublisher,
        clock: Callable[[], float],
    ) -> None:
        self._setting = setting
        self._engine_dir = engine_dir
        self._clock = clock
        self._names = publisher.used
        """The names of the models whose graphs callers have wanted, by the kind of graph."""

    def follow(self, ref: str, bundle: Bundle, loaded: Loaded) -> None:
        """Open those graphs of a bundle that is loaded which are wanted already.

        Where that fails the bundle is served all the same.
        """
        for kind, graph in loaded.on_demand.items():
            if self._setting == FLOATS_NO:
                graph.refusal = SET_NO
            elif graph.open is None:
                graph.refusal = NO_GRAPH[kind]
            elif self._is_wanted(kind, bundle):
                try:
                    self._open(kind, graph, ref, bundle)
                except BundleUnreadable as error:
                    waits = "%s of %s: it waits until somebody asks again: %s"
                    log.error(waits, GIVES[kind], ref, error)

    def open(self, kind: str, ref: str, bundle: Bundle, loaded: Loaded) -> str:
        """Open a graph of a bundle that is served; return why it cannot be, or an empty text.

        Raises:
            BundleUnreadable: the graph cannot be read now.
        """
        self._names[kind].add(bundle.manifest.name)
        graph = loaded.on_demand[kind]
        if graph.loaded is None and not graph.refusal:
            self._open(kind, graph, ref, bundle)
        return graph.refusal

    def allow(self, bundle: Bundle, loaded: Loaded) -> None:
        """Forget that graphs of a bundle could not be opened, as an administrator loads it."""
        for kind, graph in loaded.on_demand.items():
            if graph.open is not None and self._setting != FLOATS_NO:
                graph.refusal = ""
                load_notes.end(self._engine_dir.opens(KEYS[kind](bundle.key)))

    def _is_wanted(self, kind: str, bundle: Bundle) -> bool:
        is_set = kind == FLOATS and self._setting == FLOATS_YES
        return is_set or bundle.manifest.name in self._names[kind]

    def _open(self, kind: str, graph: OnDemand, ref: str, bundle: Bundle) -> None:
        assert graph.open is not None  # its refusal says so otherwise
        began, note = self._clock(), self._engine_dir.opens(KEYS[kind](bundle.key))
        try:
            with noted(note, bundle.path, insist=False):
                graph.loaded = graph.open()
        except BundleUnreadable:
            raise
        except Exception as error:  # a graph's fault, of any kind, must not end what is served
            expected = isinstance(error, (BundleError, SessionError))
            graph.refusal = str(error) if expected else f"{type(error).__name__}: {error}"
            cannot = "%s of %s cannot be had: %s"
            log.error(cannot, GIVES[kind], ref, graph.refusal, exc_info=not expected)
        else:
            plan = graph.loaded.plan
            log.info(
                "giving %s of %s on %s in %s (%s); opened in %.1f s",
                GIVES[kind], ref, plan.provider, plan.precision, plan.reason,
                self._clock() - began,
            )  # fmt: skip

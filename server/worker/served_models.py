"""The models that the engines serve, and the engines that answer, as one HTTP worker sees them."""

from server.errors import EngineUnavailable, ModelNotFound
from server.ipc.catalog import Catalog, Entry
from server.worker.engine_balancer import Balancer


class ServedModels:
    """Tells what the engines of ``balancer`` serve, as of now."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    @property
    def catalog(self) -> Catalog:
        """What is served, as of now."""
        return self._balancer.catalog

    @property
    def engines(self) -> list[bool]:
        """Which engines answer: each opens its socket when the model has passed its test."""
        return [backend.connection.up for backend in self._balancer.backends]

    @property
    def ready(self) -> bool:
        """Whether an engine answers."""
        return any(self.engines)

    @property
    def plans(self) -> list[str]:
        """The plans with which the engines that answer draw the default model; each plan once."""
        return self._balancer.plans_of(self.catalog.default)

    def find(self, name: str | None = None, version: str | None = None) -> Entry:
        """Return the bundle that draws for ``name`` and ``version``, as ``generate`` has them.

        Until the engine has spoken, none is missing.

        Raises:
            ModelNotFound, ModelUnavailable, EngineUnavailable: there is none.
        """
        try:
            return self.catalog.find(name, version)
        except ModelNotFound as error:
            if self.ready:
                raise
            raise EngineUnavailable from error

    def plans_of(self, model: Entry) -> list[str]:
        """Return the plans with which the engines that answer draw ``model``; each plan once."""
        return self._balancer.plans_of(str(model), model.key)

    def waits_for(self) -> str:
        """Return why no engine answers, as far as an engine has said so; an empty text if none."""
        return self._balancer.waits_for()

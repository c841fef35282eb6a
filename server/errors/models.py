"""Errors of models that are not there, not served, or not served any more."""

from http import HTTPStatus

from server.errors.base import ServingError, shown, without_paths


class ModelNotFound(ServingError):
    """The repository has no such model or version."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, name: str, served: list[str]) -> None:
        super().__init__(f"there is no model {shown(name)}; served are {', '.join(served)}")


class ModelUnavailable(ServingError):
    """The repository has the model, but it is not served."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, name: str, state: str, reason: str) -> None:
        why = f": {without_paths(reason)}" if reason else ""
        super().__init__(f"model {name} is {state.lower()}{why}")


class ModelGone(ServingError):
    """The model that has begun to draw is not there any more; another may be in its place."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, name: str) -> None:
        super().__init__(f"model {name} was unloaded or replaced meanwhile; retry at once")


class PlanGone(ServingError):
    """The plan that has begun to draw is no engine's any more: others draw other bytes."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, plan: str) -> None:
        super().__init__(f"no engine draws with the plan {plan} any more; retry at once")


class LoadFailed(ServingError):
    """A model cannot be loaded or unloaded."""

    status = HTTPStatus.BAD_REQUEST

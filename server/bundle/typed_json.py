"""Parsed JSON as dataclasses: every member of the right type, none missing and none unknown."""

from dataclasses import MISSING, fields, is_dataclass
from types import GenericAlias
from typing import Any, get_args, get_origin

from server.bundle.errors import BundleError

MOST_NESTED = 32
"""The levels of lists and objects within each other that are read at most."""
TOLD = 200
"""The characters of a wrong value that an error shows at most."""


def check_nesting(value: Any, place: str, levels: int = MOST_NESTED) -> None:
    """Check how deeply ``value`` is nested: what is written of it later recurses as deeply.

    Raises:
        BundleError: the value has more than ``levels`` levels of lists and objects.
    """
    if not levels:
        raise BundleError(f"{place} is nested too deeply: {MOST_NESTED} levels are read")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        check_nesting(each, place, levels - 1)


def told(value: Any) -> str:
    """Return ``value`` for an error's message, which shows the beginning of a long one."""
    text = repr(value)
    return text if len(text) <= TOLD else f"{text[:TOLD]}..."


def read_as(kind: Any, value: Any, place: str) -> Any:
    """Return ``value``, parsed JSON, as a ``kind``: a dataclass, list, dict or plain type.

    Raises:
        BundleError: the value, or a member of it, is none of the kind; ``place`` says where.
    """
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _read_fields(kind, value, place)
    if isinstance(kind, GenericAlias):
        return _read_container(kind, value, place)
    if type(value) is not kind:
        raise BundleError(f"{place} is {told(value)}; wanted a {kind.__name__}")
    return value


def _read_fields(kind: Any, value: Any, place: str) -> Any:
    names = {f.name for f in fields(kind)}
    # Old bundles lack the fields that have a default factory.
    since = {f.name for f in fields(kind) if f.default_factory is not MISSING}
    if not isinstance(value, dict) or not names - since <= set(value) <= names:
        found = sorted(value) if isinstance(value, dict) else value
        raise BundleError(f"{place} is {told(found)}; wanted the members {sorted(names)}")
    return kind(
        **{
            f.name: read_as(f.type, value[f.name], f"{place}: {f.name}")
            for f in fields(kind)
            if f.name in value
        }
    )


def _read_container(kind: Any, value: Any, place: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if type(value) is not origin:
        raise BundleError(f"{place} is {told(value)}; wanted a {origin.__name__}")
    if origin is list:
        return [read_as(inner[0], x, f"{place}[{i}]") for i, x in enumerate(value)]
    return {name: read_as(inner[1], x, f"{place}: {name}") for name, x in value.items()}

"""The fields of a dataclass of settings: their ranges and choices, and how they are read."""

import re
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any

from server.config_error import PREFIX, ConfigError, UnknownSetting


def between(default: int, low: int, high: int) -> Any:
    """Return a field for a whole number from ``low`` to ``high``."""
    return field(default=default, metadata={"range": (low, high)})


def one_of(default: str, choices: tuple[str, ...]) -> Any:
    """Return a field for one of ``choices``."""
    return field(default=default, metadata={"choices": choices})


def check_ranges(settings: Any) -> None:
    """Check each field of ``between`` and ``one_of`` in a dataclass of settings.

    Raises:
        ConfigError: a value is out of its range, or is none of its choices.
    """
    for setting in fields(settings):
        value, rules = getattr(settings, setting.name), setting.metadata
        if "range" in rules:
            check_range(setting.name, value, *rules["range"])
        if "choices" in rules and value not in rules["choices"]:
            raise ConfigError(setting.name, value, f"one of {', '.join(rules['choices'])}")


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Check that a setting is from ``low`` to ``high``.

    Raises:
        ConfigError: it is not.
    """
    if not low <= value <= high:
        raise ConfigError(name, value, f"{low} to {high}")


def check_named(
    name: str, value: str, wanted: str, pattern: re.Pattern[str], part: str | None = None
) -> None:
    """Check that a setting, or the ``part`` of it, is a name of ``pattern``.

    Raises:
        ConfigError: it is not; the message says what is ``wanted``.
    """
    if not pattern.fullmatch(value if part is None else part):
        raise ConfigError(name, value, wanted)


def check_sendable(name: str, value: str) -> None:
    """Check that a setting can be sent in a header: an environment may hold other bytes, too.

    Raises:
        ConfigError: it cannot.
    """
    is_text = not any("\ud800" <= letter <= "\udfff" for letter in value)
    if not is_text or value != value.strip() or set(value) & set("\0\r\n"):
        raise ConfigError(name, value, "UTF-8 in one line, with no space before or behind it")


def read(cls: type[Any], environ: Mapping[str, str], others: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings that ``environ`` has of the dataclass ``cls``, by their fields' names.

    ``others`` are variables with the prefix that are no settings. An empty variable is none.

    Raises:
        ConfigError: a value is no whole number where its field is one, or a variable with the
            prefix is no setting's.
    """
    known = {PREFIX + setting.name.upper(): setting for setting in fields(cls)}
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in (*known, *others):
            raise UnknownSetting(variable, known)
    return {
        setting.name: _parse(setting.name, setting.type, environ[variable])
        for variable, setting in known.items()
        if environ.get(variable)
    }


def _parse(name: str, kind: object, text: str) -> object:
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ConfigError(name, text, "a whole number") from None
    return text if kind is str else Path(text)

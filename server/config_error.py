"""What is amiss in the settings, as it stops the boot."""

import re
from collections.abc import Iterable

PREFIX = "CARFRONT_"
SECRETS = ("admin_token",)
"""The settings whose values are shown nowhere."""


class ConfigError(Exception):
    """A setting has a value that cannot be used; the message shows it, unless it is a secret."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        told = "one that is not shown here" if name in SECRETS else repr(value)
        super().__init__(f"{PREFIX}{name.upper()} is {told}; wanted {wanted}")


class UnknownSetting(ConfigError):
    """A variable is no setting's; its value is not shown, as it may be a misspelt secret's."""

    def __init__(self, variable: str, known: Iterable[str]) -> None:
        Exception.__init__(self, f"{variable} is unknown; wanted one of {', '.join(known)}")


def check_between(name: str, value: int, low: int, high: int) -> None:
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


def check_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that a setting is one of ``choices``.

    Raises:
        ConfigError: it is not.
    """
    if value not in choices:
        raise ConfigError(name, value, f"one of {', '.join(choices)}")

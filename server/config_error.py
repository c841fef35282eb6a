"""What is amiss in the settings, as it stops the boot."""

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

"""Why a bundle cannot be served."""

MOST_TOLD = 2000
"""The characters of an error's message at most: a bundle may hold names of any length, and ones
that are no text, which are told with escapes."""


class BundleError(Exception):
    """A bundle that cannot be served: missing, incomplete, altered, or of a newer format.

    ``BundleUnreadable`` and ``LoadsEnded`` are no fault of what the bundle holds::

        BundleError
        |- BundleUnreadable   it may be readable the next time
        |- LoadsEnded         engines were ended from outside while they loaded it
    """

    is_of_content = True
    """Whether every host would refuse the bundle, for what it holds."""

    def __init__(self, message: str) -> None:
        told = message if len(message) <= MOST_TOLD else f"{message[:MOST_TOLD]}..."
        super().__init__(told.encode(errors="backslashreplace").decode())


class BundleUnreadable(BundleError):
    """A bundle, or the repository, that cannot be read now: its volume hangs, or reports errors."""

    is_of_content = False


class LoadsEnded(BundleError):
    """A bundle whose loading was ended too often by something else than the bundle."""

    is_of_content = False

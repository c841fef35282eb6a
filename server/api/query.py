"""What stands in a URL: a seed, a suffix, and the parameters of a query string.

A parameter that nobody knows is refused: whoever misspelled one would take the answer for what was
asked for.
"""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from server.api.parameters import ImageParameters
from server.api.sources import A_TRUNCATION
from server.bundle.latents import SEEDS
from server.codecs.enlarge import FILTERS, MOST
from server.codecs.formats import BY_SUFFIX
from server.errors import InvalidRequest, UnknownSuffix, Words, shown
from server.ipc.sources import SeedRange

OF_IMAGE = ("scale", "filter", "truncation", "class")
"""The parameters of an image."""
OF_FILE = ("class", "format", "scale", "filter", "model", "version")
"""The parameters of a request whose body is a file of latents."""
OF_GRID = ("seed", "rows", "cols", *OF_IMAGE)
"""The parameters of a grid."""
OF_MORPH = ("from", "to", "frames", "frame_ms", *OF_IMAGE)
"""The parameters of a morph."""
MOST_DIGITS = 20
"""The digits of the largest seed."""
DIGITS = frozenset("0123456789.eE+-")
LONGEST_NUMBER = 40
"""The characters of a number that is no whole one, and how many it has at most."""


def parse_seed(text: str) -> int:
    """Return the seed that ``text`` writes in decimal.

    Raises:
        InvalidRequest: it is not a whole number from 0 to 2^64 - 1.
    """
    return _whole("seed", text, 0, SEEDS - 1)


def check_suffix(name: str) -> None:
    """Check that the last part of a path, which no route with a suffix is for, has no suffix.

    Raises:
        UnknownSuffix: it has one.
    """
    suffix = name.rpartition(".")[2]
    if suffix != name:
        raise UnknownSuffix("suffix", suffix, " or ".join(BY_SUFFIX))


class Query:
    """The query string ``text``, in which only the parameters ``known`` may stand, each once.

    Raises:
        InvalidRequest: another stands there, or one stands there twice.
    """

    def __init__(self, text: str, known: Sequence[str]) -> None:
        self.texts: dict[str, str] = {}
        """The values of the parameters that stand there."""
        for name, value in parse_qsl(text, keep_blank_values=True):
            if name not in known:
                told = shown(name)[1:-1]
                raise InvalidRequest(told, value, f"the parameters {', '.join(known)}")
            if name in self.texts:
                raise InvalidRequest(name, [self.texts[name], value], "one value")
            self.texts[name] = value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a parameter that is a whole number from ``low`` to ``high``."""
        return _whole(name, self.texts.get(name, str(default)), low, high)

    def seed(self, name: str) -> int:
        """Return a parameter that is a seed, and has to stand there."""
        return _whole(name, self.texts.get(name, Words("missing")), 0, SEEDS - 1)

    def truncation(self) -> float:
        """Return the factor on the latents, above 0 and at most 1; 1 where none is said."""
        text = self.texts.get("truncation")
        return 1.0 if text is None else _truncation(text)

    def parameters(self, form: str, columns: int = 0) -> ImageParameters:
        """Return the parameters of an image, or of a grid with ``columns``."""
        name = self.texts.get("filter", "nearest")
        if name not in FILTERS:
            raise InvalidRequest("filter", name, " or ".join(FILTERS))
        return ImageParameters(form, self.whole("scale", 1, 1, MOST), name, columns)

    def grid(self, form: str, most: int) -> tuple[SeedRange, ImageParameters]:
        """Return the seeds and the parameters of a grid of at most ``most`` images.

        A grid has 8 rows and 8 columns, and begins with seed 0, where nothing else is said.
        """
        rows = self.whole("rows", 8, 1, most)
        columns = self.whole("cols", 8, 1, most)
        if rows * columns > most:
            told = f"at most {most // columns}: a grid has {most} images at most"
            raise InvalidRequest("rows", rows, told)
        seed = self.whole("seed", 0, 0, SEEDS - rows * columns)
        source = SeedRange(seed, rows * columns, self.truncation())
        return source, self.parameters(form, columns)


def _truncation(text: str) -> float:
    """Return the truncation that ``text`` writes in decimal."""
    try:
        value = float(text) if len(text) <= LONGEST_NUMBER and DIGITS.issuperset(text) else 0.0
    except ValueError:
        value = 0.0
    if 0 < value <= 1:
        return value
    raise InvalidRequest("truncation", text, A_TRUNCATION)


def _whole(name: str, text: str, low: int, high: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS:
        value = int(text)
        if low <= value <= high:
            return value
    raise InvalidRequest(name, text, f"a whole number from {low} to {high}")

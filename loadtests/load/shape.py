"""Load shapes: how many users there are at which time, as data."""

from dataclasses import dataclass
from pathlib import Path

from loadtests.load import named_files
from loadtests.load.named_files import BadFile, nothing_left, take

SHAPES = Path(__file__).with_name("shapes")


@dataclass(frozen=True)
class Shape:
    """A load shape, in shares of the users and of the seconds that a run is given."""

    name: str
    users: tuple[float, ...]
    """The shares of the users over the time, 0 to 1: each for an equal part of it, or, along lines,
    each as far from the next."""
    along_lines: bool = False
    """Whether the number of users changes evenly from one share to the next, not in steps."""
    until_missed: bool = False
    """Whether each step is judged by itself, and the first one that misses the SLO is the last."""

    def step(self, time: float) -> int:
        """Return the number of the step at ``time``, the share of the seconds that is over."""
        return min(int(time * len(self.users)), len(self.users) - 1)

    def users_at(self, time: float, users: int) -> int:
        """Return how many of ``users`` there are when ``time``, a share of the seconds, is over.

        A share above 0 is one user at least.
        """
        share = self._along_the_line(time) if self.along_lines else self.users[self.step(time)]
        return max(1, round(share * users)) if share else 0

    def _along_the_line(self, time: float) -> float:
        at = min(time, 1.0) * (len(self.users) - 1)
        left = min(int(at), len(self.users) - 2)
        return self.users[left] + (self.users[left + 1] - self.users[left]) * (at - left)


def load(name: str) -> Shape:
    """Return a shipped shape by its name, or one of a file of one's own by its path.

    Raises:
        BadFile: there is no such shape, or it says something that no shape has.
    """
    name, content = named_files.read(SHAPES, name)
    shares = take(name, content, "users", (list,), None)
    shape = Shape(
        name,
        tuple(shares),
        take(name, content, "along_lines", (bool,), False),
        take(name, content, "until_missed", (bool,), False),
    )
    take(name, content, "about", (str,), "")
    nothing_left(name, content)
    if not shares or not all(isinstance(x, int | float) and 0 <= x <= 1 for x in shares):
        raise BadFile(f"{name}: users is {shares}; wanted a list of shares, 0 to 1")
    if shape.along_lines and (len(shares) < 2 or shape.until_missed):
        raise BadFile(f"{name}: lines want two shares, and steps if until_missed is true")
    return shape

"""What settings gain over the defaults, and whether that is more than noise; pure policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

Settings = tuple[tuple[str, str], ...]
"""Variables of the server with their values."""
DEFAULTS: Settings = ()


@dataclass
class Round:
    """The capacities of one round, in requests a second."""

    defaults: tuple[float, float]
    """Those of the defaults, at the begin and at the end."""
    others: dict[Settings, float]

    def gain(self, settings: Settings) -> float:
        """Return the capacity with ``settings`` over that with the defaults."""
        return self.others[settings] / sqrt(self.defaults[0] * self.defaults[1])


@dataclass
class Verdict:
    """What the rounds say of the settings that were tried in all of them."""

    rounds: Sequence[Round]
    precision: float
    """The precision of a capacity."""

    @property
    def noise(self) -> float:
        """The share by which capacities differ though nothing differs."""
        spread = max(max(x.defaults) / min(x.defaults) for x in self.rounds) - 1
        return max(spread, self.precision)

    def gains(self, settings: Settings) -> list[float]:
        """Return the gain in each round."""
        return [each.gain(settings) for each in self.rounds]

    def gain(self, settings: Settings) -> float:
        """Return the median gain."""
        return median(self.gains(settings))

    def is_real(self, settings: Settings) -> bool:
        """Return whether ``settings`` gain more than noise does."""
        return self.gain(settings) > 1 + self.noise and min(self.gains(settings)) > 1

    def facts(self) -> dict[str, object]:
        """Return the capacities and gains for JSON."""
        others = self.rounds[0].others
        return {
            "noise": self.noise,
            "defaults": [each.defaults for each in self.rounds],
            "capacities": {words(x): [each.others[x] for each in self.rounds] for x in others},
            "gains": {words(x): self.gains(x) for x in others},
        }

    def best(self) -> Settings:
        """Return the settings that gain most beyond the noise; the defaults if none do."""
        real = filter(self.is_real, self.rounds[0].others)
        return max(real, key=self.gain, default=DEFAULTS)

    def together(self) -> Settings:
        """Return the best settings of each variable together, if those of several gain.

        What is tried for several variables at once counts as tried for the first of them.
        """
        best: dict[str, Settings] = {}
        for settings in sorted(filter(self.is_real, self.rounds[0].others), key=self.gain):
            best[settings[0][0]] = settings  # what gains more comes later
        return tuple(x for each in best.values() for x in each) if len(best) > 1 else DEFAULTS


def words(settings: Settings) -> str:
    """Return ``settings`` as they are set in a shell."""
    return " ".join(f"{name}={value}" for name, value in settings) or "defaults"

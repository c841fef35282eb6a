"""Service level objectives of a load test, as data, and which of them are missed by how much."""

from dataclasses import dataclass, replace
from pathlib import Path

from loadtests.load import named_files
from loadtests.load.named_files import BadFile, nothing_left, take
from loadtests.load.record import Record
from loadtests.percentile import percentile

SLOS = Path(__file__).with_name("slos")
NUMBER = (int, float)


@dataclass(frozen=True)
class Latency:
    """The limit of one percentile of the times of good answers to requests of one name."""

    request: str
    percentile: float
    max_ms: float

    def __str__(self) -> str:
        return f"p{self.percentile:g} of {self.request!r}"


@dataclass(frozen=True)
class SLO:
    """What a run has to keep."""

    name: str
    max_failed_share: float = 0.0
    """The largest share of requests with a wrong answer, an error or no answer, 0 to 1."""
    max_refused_share: float = 0.0
    """The largest share of requests that were refused honestly, 0 to 1."""
    max_late_share: float = 0.0
    """The largest share of requests that were accepted and not done by their deadline, 0 to 1."""
    min_users: int = 0
    """The number of users that a ramp to the breaking point has to reach without a miss."""
    latencies: tuple[Latency, ...] = ()

    def with_limits(self, failed_share: float | None, latency: Latency | None) -> "SLO":
        """Return the SLO with the limits that the command line says instead of its own."""
        slo = self if failed_share is None else replace(self, max_failed_share=failed_share)
        if latency is None:
            return slo
        alike = (latency.request, latency.percentile)
        others = [x for x in slo.latencies if (x.request, x.percentile) != alike]
        return replace(slo, latencies=(*others, latency))


def load(name: str) -> SLO:
    """Return a shipped SLO by its name, or one of a file of one's own by its path.

    Raises:
        BadFile: there is no such SLO, or it says something that no SLO has.
    """
    name, content = named_files.read(SLOS, name)
    shares = {
        key: take(name, content, key, NUMBER, 0.0)
        for key in ("max_failed_share", "max_refused_share", "max_late_share")
    }
    min_users = take(name, content, "min_users", (int,), 0)
    latencies = [_latency(name, each) for each in take(name, content, "latency", (list,), [])]
    take(name, content, "about", (str,), "")
    nothing_left(name, content)
    for key, share in shares.items():
        if not 0 <= share <= 1:
            raise BadFile(f"{name}: {key} is {share}; wanted a share, 0 to 1")
    return SLO(name, **shares, min_users=min_users, latencies=tuple(latencies))


def _latency(name: str, content: dict[str, object]) -> Latency:
    content = dict(content)
    found = Latency(
        take(name, content, "request", (str,), None),
        take(name, content, "percentile", NUMBER, None),
        take(name, content, "max_ms", NUMBER, None),
    )
    nothing_left(name, content)
    if not 0 < found.percentile <= 100:
        raise BadFile(f"{name}: percentile is {found.percentile}; wanted above 0, at most 100")
    return found


def misses(record: Record, slo: SLO) -> list[str]:
    """Return one sentence for each limit that the record misses, with by how much it does."""
    requests = record.requests
    if not requests:
        return ["no request was made at all"]
    total = record.total()
    found = []
    for count, what, share in (
        (total.failed.total(), "failed", slo.max_failed_share),
        (total.refused.total(), "were refused", slo.max_refused_share),
        (total.late.total(), "were late", slo.max_late_share),
    ):
        allowed = int(share * requests)
        if count > allowed:
            found.append(
                f"{count:,} of {requests:,} requests {what} ({count / requests:.3%}), "
                f"{count - allowed:,} more than the {allowed:,} ({share:.3%}) that may"
            )
    for limit in slo.latencies:
        if limit.request in record.of and (times := record.of[limit.request].good_ms):
            reached = percentile(times, limit.percentile)
            if reached > limit.max_ms:
                over = reached - limit.max_ms
                found.append(
                    f"{limit} is {reached:,.2f} ms, {over:,.2f} ms ({over / limit.max_ms:.1%}) "
                    f"above {limit.max_ms:,g} ms"
                )
    return found


def not_judged(record: Record, slo: SLO) -> list[str]:
    """Return one sentence for each latency that has a limit and no good answer to judge it by."""
    return [
        f"{limit} has a limit, but no good answer"
        for limit in slo.latencies
        if limit.request not in record.of or not record.of[limit.request].good_ms
    ]

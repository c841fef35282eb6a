"""The rows for what is wrong now, and for what callers see."""

from k8s.dashboard.panel import (
    ASKED,
    Panel,
    Query,
    Row,
    largest,
    of,
    quantile,
    quantiles,
    rate,
    share,
    total,
)

REQUESTS = "http_server_requests_total"
SECONDS = "http_server_request_duration_seconds"
SINGLE, BULK, ERROR, PAGE = (f'kind="{kind}"' for kind in ("single", "bulk", "error", "page"))
FAILED = 'status=~"5.."'
FIRING = ('alertname=~"Carfront.+"', 'alertstate="firing"')
UP = of("carfront_engine_up")
SENT = total(rate("carfront_images_total"))
CAPACITY = total(
    largest(of("carfront_estimated_capacity_images_per_second"), "namespace, instance")
)
SERVED = f"count({UP}) * 0"
"""Nothing but 0, where there is a replica at all."""


OF_IMAGES = 'reason!~"(float images|gradients), beside .+"'
"""The plans that draw images: those of other graphs open on the replica that is asked first."""


def differing(info: str, labels: str, *matchers: str) -> str:
    """Return how many kinds of ``info`` some replicas of an instance have, and others have not."""
    own = largest(of(info, *matchers), f"namespace, job, instance, {labels}")
    every = largest(of(info, *matchers), "namespace, job, instance")
    return (
        f"count(count by (namespace, job, {labels}) ({own} == 1) != on (namespace, job) group_left "
        f"() count by (namespace, job) ({every} == 1)) or {SERVED}"
    )


NOW = (
    Panel(
        "Replicas",
        "Replicas that answer Prometheus. None: nothing serves, or nothing is scraped, and the "
        "empty panels below are no good news. See CarfrontAbsent in docs/runbook.md.",
        "short",
        [Query(f"count(count by (namespace, instance) ({UP})) or vector(0)")],
        kind="stat", width=4, height=4, decimals=0, lowest=None, is_bad_below=True,
        steps=[("green", 1)], texts={"0": ("NONE", "red")}, runbook="CarfrontAbsent",
    ),
    Panel(
        "Engines down",
        "Replicas that Prometheus knows of and that have an engine which does not serve, or that "
        "do not answer at all. Above 0 for more than a minute: look at the pod's log and at "
        "'Engine restarts'.",
        "short",
        [Query(
            f"count({of('up')}) - (sum(min by (namespace, instance) ({UP})) or vector(0))"
        )],
        no_value="no replica",
        kind="stat", width=4, height=4, decimals=0, lowest=None, steps=[("red", 1)],
        runbook="CarfrontEngineDown",
    ),
    Panel(
        "Failed requests",
        "Share of requests answered with 5xx, probes and scrapes left out. It includes 503 (full) "
        "and 504 (late): see 'Rejected' and 'Dropped' for which. 0 while nobody asks for anything.",
        "percentunit",
        [Query(
            f"({total(rate(REQUESTS, ASKED, FAILED))} or vector(0)) / "
            f"({total(rate(REQUESTS, ASKED))} > 0) or {SERVED}"
        )],
        no_value="no replica",
        kind="stat", width=4, height=4, decimals=2, steps=[("orange", 0.001), ("red", 0.01)],
        runbook="CarfrontErrorBudgetBurn",
    ),
    Panel(
        "Latency p99",
        "99 of 100 single images were drawn faster than this, over all replicas, from the arrival "
        "of the request. The objective is 250 ms: orange is above it.",
        "s",
        [Query(quantile(0.99, SECONDS, SINGLE))],
        no_value="no requests",
        kind="stat", width=4, height=4, steps=[("orange", 0.25), ("red", 1)],
        runbook="CarfrontLatencyBudgetBurn",
    ),
    Panel(
        "Capacity in use",
        "Images sent a second as a share of what the engines estimate they can draw; empty until "
        "they have drawn some. Near 100 % the queue grows and requests are refused: add replicas.",
        "percentunit",
        [Query(share(SENT, CAPACITY))],
        no_value="not known yet",
        kind="stat", width=4, height=4, decimals=0, steps=[("orange", 0.7), ("red", 0.9)],
        runbook="CarfrontNearCapacity",
    ),
    Panel(
        "Not on all replicas",
        "Versions of models, and plans to draw with, that some replicas of an instance have and "
        "others do not: one seed gives two images, or other bytes. 0 outside of an update; "
        "'Models' and 'Plans' say which.",
        "short",
        [
            Query(differing("carfront_model_info", "model, version, digest"), "versions"),
            Query(
                differing("carfront_plan_info", "provider, precision, reason", OF_IMAGES), "plans"
            ),
        ],
        no_value="no replica",
        kind="stat", width=4, height=4, decimals=0, lowest=None, steps=[("orange", 1)],
        runbook="CarfrontModelsDiffer",
    ),
    Panel(
        "Firing alerts",
        "Alerts of the chosen instances that fire now. The runbook, at the top right, has a "
        "section for each. Needs the component alerts.",
        "short",
        [Query(
            "count by (alertname, severity, namespace, job, instance) "
            f"({of('ALERTS', *FIRING)})"
        )],
        no_value="none",
        kind="table", width=24, height=5, decimals=0, lowest=None,
    ),
)  # fmt: skip

CALLERS = Row("What callers see", (
    Panel(
        "Requests by status",
        "Requests a second by HTTP status, probes and scrapes left out. 4xx: the caller's mistake. "
        "503: full, or no engine. 504: late.",
        "reqps",
        [Query(f"{total(rate(REQUESTS, ASKED), 'status')} > 0", "{{status}}")],
        no_value="no requests",
        is_stacked=True, runbook="CarfrontErrorBudgetBurn",
    ),
    Panel(
        "Requests by route",
        "Requests a second by what was asked for, probes and scrapes left out.",
        "reqps",
        [Query(f"{total(rate(REQUESTS, ASKED), 'route')} > 0", "{{route}}")],
        no_value="no requests",
        is_stacked=True,
    ),
    Panel(
        "Budget burn",
        "How many times as fast as the objectives allow the last hour had failed requests (0.1 % "
        "are allowed) and late single images (1 %). At 14.4 the month's budget lasts two days, and "
        "CarfrontErrorBudgetBurn or CarfrontLatencyBudgetBurn fires. Recorded by the component "
        "alerts.",
        "suffix: x",
        [
            Query(f"{largest(of(f'carfront:{name}:ratio1h'), 'namespace, job')} * {times}",
                  f"{{{{namespace}}}}/{{{{job}}}}: {name}")
            for name, times in (("failed", 1000), ("late", 100))
        ],
        no_value="no requests, or no alerts component",
        steps=[("orange", 1), ("red", 14.4)], runbook="CarfrontErrorBudgetBurn",
    ),
    Panel(
        "Latency of single images",
        "Time from the arrival of a request to its answer, of answers with one image, over all "
        "replicas together. Compare with queue delay, inference and encode below to see where the "
        "time goes.",
        "s",
        quantiles(SECONDS, SINGLE),
        no_value="no requests",
        runbook="CarfrontLatencyBudgetBurn",
    ),
    Panel(
        "Latency of several images",
        "The same of answers with more than one image. They have no objective: the more images, "
        "the longer.",
        "s",
        quantiles(SECONDS, BULK),
        no_value="no requests",
    ),
    Panel(
        "Latency of errors and pages",
        "The same of requests that were refused or failed, and of pages, documents and answers "
        "without a body. Refusals are as fast as requests are picked up: see 'Event loop lag'.",
        "s",
        [*quantiles(SECONDS, ERROR, prefix="errors "),
         Query(quantile(0.99, SECONDS, PAGE), "pages p99")],
        no_value="no requests",
    ),
    Panel(
        "Latency by route",
        "99 of 100 answers with images were faster than this, by route, one image and several "
        "apart.",
        "s",
        [Query(quantile(0.99, SECONDS, 'kind=~"single|bulk"', by="route, kind"),
               "{{route}} {{kind}}")],
        no_value="no requests",
    ),
    Panel(
        "Single images over time",
        "How many single images took how long: darker is more. Two bands are two kinds of callers, "
        "or of replicas.",
        "s",
        [Query(f"{total(rate(f'{SECONDS}_bucket', SINGLE), 'le')} >= 0", "{{le}}")],
        no_value="no requests",
        kind="heatmap", width=16,
    ),
))  # fmt: skip

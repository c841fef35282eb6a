"""The rows for how full the server is, where its time goes, what went wrong, and what runs."""

from k8s.dashboard.callers import CAPACITY
from k8s.dashboard.panel import Panel, Query, Row, largest, of, quantile, rate, share, total

ABSENT = "no replica answers"
ROWS = "carfront_batch_rows"
BY_INSTANCE = "namespace, instance"

FULLNESS = Row("How full it is", (
    Panel(
        "Images against capacity",
        "Images sent to callers a second, beside what all engines together estimate they can draw, "
        "from their recent batches.",
        "suffix: images/s",
        [
            Query(f"{total(rate('carfront_images_total'), 'model, version')} > 0",
                  "sent: {{model}} {{version}}"),
            Query(CAPACITY, "estimated capacity"),
        ],
        no_value="nothing drawn yet",
        runbook="CarfrontNearCapacity",
    ),
    Panel(
        "Queue",
        "Images asked for and waiting for the engine, by replica. One replica far above the "
        "others: its engine is slow or gone.",
        "suffix: images",
        [Query(largest(of("carfront_queue_rows"), BY_INSTANCE), "{{instance}}")],
        no_value=ABSENT,
        runbook="CarfrontQueueFull",
    ),
    Panel(
        "Queue delay",
        "How long a request waited at the engine until its first images ran, over all replicas. It "
        "grows first when the load exceeds the capacity.",
        "s",
        [Query(quantile(0.99, "carfront_queue_delay_seconds"), "p99")],
        no_value="no requests",
    ),
    Panel(
        "In flight",
        "Requests that HTTP workers are answering, by replica, looked at once a second.",
        "short",
        [Query(largest(of("carfront_requests_in_flight"), BY_INSTANCE), "{{instance}}")],
        no_value=ABSENT,
        decimals=0,
    ),
    Panel(
        "Accept backlog",
        "Connections that no HTTP worker has accepted yet, by replica. More than a few for longer "
        "than a moment: the HTTP workers lack CPU, or all their connections are taken.",
        "short",
        [Query(largest(of("carfront_accept_backlog"), BY_INSTANCE), "{{instance}}")],
        no_value=ABSENT,
        decimals=0,
    ),
    Panel(
        "Event loop lag",
        "How late HTTP workers come to what they do once a second: as long waits a request before "
        "it is picked up, and that is part of its latency. The larger, the more the HTTP workers "
        "lack CPU.",
        "s",
        [Query(quantile(0.99, "carfront_event_loop_lag_seconds"), "p99")],
        no_value=ABSENT,
    ),
))  # fmt: skip

TIME = Row("Where the time goes", (
    Panel(
        "Batch size",
        "Mean number of images in a batch. It grows by itself with the load; at the configured "
        "maximum the engine is full.",
        "suffix: images",
        [Query(share(total(rate(f"{ROWS}_sum")), total(rate(f"{ROWS}_count"))), "mean")],
        no_value="no batches",
    ),
    Panel(
        "Inference",
        "Time the model takes for one batch, over all replicas. Longer at the same batch size: "
        "throttled processor, noisy neighbour, or another provider than wanted.",
        "s",
        [Query(quantile(0.99, "carfront_inference_seconds"), "p99")],
        no_value="no batches",
        runbook="CarfrontLatencyBudgetBurn",
    ),
    Panel(
        "Encode",
        "Time an HTTP worker takes to turn images into PNG or another format, over all replicas.",
        "s",
        [Query(quantile(0.99, "carfront_encode_seconds"), "p99")],
        no_value="nothing encoded",
    ),
))  # fmt: skip

WRONG = Row("What went wrong", (
    Panel(
        "Rejected",
        "Requests refused before any work was done, by reason.",
        "reqps",
        [Query(total(rate("carfront_rejected_total"), "reason"), "{{reason}}")],
        no_value=ABSENT,
        width=4, runbook="CarfrontQueueFull",
    ),
    Panel(
        "Dropped",
        "Images given up while they waited, by reason: past the deadline, or the caller hung up.",
        "suffix: images/s",
        [Query(total(rate("carfront_dropped_total"), "reason"), "{{reason}}")],
        no_value=ABSENT,
        width=4,
    ),
    Panel(
        "Connections ended",
        "Connections that a limit ended, by reason: idle ones and slow_end are usual; "
        "slow_request, slow_reader, unread and full are slow or hostile callers, or limits that "
        "are too small.",
        "suffix: /s",
        [Query(total(rate("carfront_connections_ended_total"), "reason"), "{{reason}}")],
        no_value=ABSENT,
        width=4,
    ),
    Panel(
        "Engine up",
        "1 while the replica's engine serves, 0 while it loads or is gone; a line for each engine, "
        "one a GPU. A gap: the replica did not answer Prometheus.",
        "short",
        [Query(largest(of("carfront_engine_up"), "namespace, instance, engine"),
               "{{instance}} {{engine}}")],
        no_value=ABSENT,
        width=4, decimals=0, highest=1, is_stepped=True, runbook="CarfrontEngineDown",
    ),
    Panel(
        "Engine restarts",
        "Engine processes that took the place of one that died or hung, whether or not they became "
        "ready. 0 is normal; the pod's log says why there are more. Deaths are told by their "
        "cause.",
        "short",
        [
            Query(total(of("carfront_engine_restarts_total"), BY_INSTANCE), "{{instance}}"),
            Query(f"{total(of('carfront_engine_deaths_total'), 'namespace, instance, cause')} > 0",
                  "{{instance}} {{cause}}"),
        ],
        no_value=ABSENT,
        width=4, decimals=0, is_stepped=True, runbook="CarfrontEngineRestarts",
    ),
    Panel(
        "Worker restarts",
        "HTTP workers that took the place of one that crashed, hung or was killed: callers lost "
        "the connections that it had. 0 is normal, and a reload is none; the pod's log says why "
        "there are more.",
        "short",
        [Query(total(of("carfront_worker_restarts_total"), BY_INSTANCE), "{{instance}}")],
        no_value=ABSENT,
        width=4, decimals=0, is_stepped=True,
    ),
))  # fmt: skip


def alike(info: str, labels: str) -> list[Query]:
    """Return the query of how many replicas are 1 in ``info``, for each choice of ``labels``."""
    own = largest(of(info), f"namespace, instance, {labels}")
    return [Query(f"count by ({labels}) ({own} == 1)")]


RUNS = Row("What runs", (
    Panel(
        "Models",
        "What the replicas serve, and on what. More than one line of a model outside of an update: "
        "the replicas do not agree, and one seed may give two images.",
        "short",
        alike("carfront_model_info", "model, version, digest, provider, precision"),
        no_value=ABSENT,
        kind="table", width=16, height=7, decimals=0, lowest=None, runbook="CarfrontModelsDiffer",
    ),
    Panel(
        "Provider fallbacks",
        "ONNX Runtime providers that an engine tried and could not serve with, and what it took in "
        "their place, counted since each replica began. Slower than planned: look at the pod's log "
        "for why.",
        "short",
        [Query(f"{total(of('carfront_provider_fallbacks_total'), 'wanted, got')} > 0",
               "{{wanted}} became {{got}}")],
        no_value="none",
        height=7, decimals=0, is_stepped=True, runbook="CarfrontProviderFallback",
    ),
    Panel(
        "Plans",
        "How the replicas run the model, and why so: the provider of ONNX Runtime, its precision, "
        "and the reason that the server gave at its start.",
        "short",
        alike("carfront_plan_info", "provider, precision, reason"),
        no_value=ABSENT,
        kind="table", width=16, height=5, decimals=0, lowest=None, runbook="CarfrontPlansDiffer",
    ),
    Panel(
        "Refused bundles",
        "Versions in the model repository that replicas cannot serve as they lie there: damaged, "
        "incomplete, of a newer schema, or their images are wrong. What served before goes on. The "
        "log and POST /v2/repository/index say why.",
        "short",
        alike("carfront_model_refused", "model, version"),
        no_value="none",
        kind="table", height=5, decimals=0, lowest=None, runbook="CarfrontModelRefused",
    ),
    Panel(
        "Float images",
        "Replicas with an open graph of float images, which images_float and predict are drawn "
        "with: it takes memory, and opens when somebody first asks.",
        "short",
        [Query(total(of("carfront_float_images_open"), "model, version"), "{{model}}/{{version}}")],
        no_value=ABSENT,
        width=24, height=4, decimals=0, is_stepped=True,
    ),
))  # fmt: skip

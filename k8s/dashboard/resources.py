"""The rows for what the server takes, its pods and GPUs, and for models, protocols and keys."""

from k8s.dashboard.panel import PODS, Panel, Query, Row, largest, of, rate, share, total

ABSENT = "no replica answers"
DEPLOYMENT = 'namespace=~"$namespace",deployment=~"$job"'
CONTAINER = f'{PODS},container="server"'
LAST = "carfront_last_inference_timestamp_seconds"
ANSWERED, ANSWERED_STEP = 'outcome="success"', 'step!="fail"'
BY_MODEL = "model, version"
GPU = "namespace, instance, gpu"

TAKES = Row("What it takes", (
    Panel(
        "Processors in use",
        "Processors that each kind of process keeps busy, all replicas together. The engine should "
        "take the most; when the HTTP workers do, single images cost more than drawing them.",
        "short",
        [Query(total(rate("carfront_process_cpu_seconds_total"), "process"), "{{process}}")],
        no_value=ABSENT,
        is_stacked=True,
    ),
    Panel(
        "Memory",
        "The largest process of each kind among the replicas. It is flat once a replica is warm: a "
        "line that climbs is a leak.",
        "bytes",
        [Query(largest(of("carfront_process_resident_memory_bytes"), "process"), "{{process}}")],
        no_value=ABSENT,
    ),
    Panel(
        "Open files",
        "Files and sockets of the process that has the most of each kind: callers' connections, "
        "mostly. A line that climbs under steady load is a leak.",
        "short",
        [Query(largest(of("carfront_process_open_fds"), "process"), "{{process}}")],
        no_value=ABSENT,
        decimals=0,
    ),
))  # fmt: skip

KUBERNETES = Row("Pods", (
    Panel(
        "Replicas wanted and ready",
        "Pods that the Deployment wants, by itself or by its autoscaler, and those that are ready. "
        "Fewer are ready for longer than an update takes: describe the pods. Needs "
        "kube-state-metrics.",
        "short",
        [
            Query(f"sum by (namespace, deployment) ({name}{{{DEPLOYMENT}}})",
                  f"{{{{namespace}}}}/{{{{deployment}}}} {word}")
            for name, word in (("kube_deployment_spec_replicas", "wanted"),
                               ("kube_deployment_status_replicas_ready", "ready"))
        ],
        no_value="no kube-state-metrics",
        decimals=0, is_stepped=True,
    ),
    Panel(
        "Pod restarts",
        "Containers that were started again within the last quarter of an hour, by pod. An engine "
        "that dies restarts no container: this is memory (OOMKilled), or a liveness probe. Needs "
        "kube-state-metrics.",
        "short",
        [Query(
            "sum by (namespace, pod) "
            f"(increase(kube_pod_container_status_restarts_total{{{CONTAINER}}}[15m]))",
            "{{pod}}",
        )],
        no_value="no kube-state-metrics",
        decimals=0,
    ),
    Panel(
        "CPU throttling",
        "Share of the periods of 100 ms in which the pod had used up its CPU limit and had to "
        "wait. Above a quarter single images are late: raise the limit, or add pods. Needs "
        "cAdvisor's metrics, which kubelets have.",
        "percentunit",
        [Query(
            share(*(
                "sum by (namespace, pod) "
                f"(rate(container_cpu_cfs_{name}_total{{{CONTAINER}}}[$__rate_interval]))"
                for name in ("throttled_periods", "periods")
            )),
            "{{pod}}",
        )],
        no_value="no cAdvisor, or no limit",
        highest=1, runbook="CarfrontLatencyBudgetBurn",
    ),
))  # fmt: skip

GPUS = Row("GPUs", (
    Panel(
        "GPU utilisation",
        "Part of the time in which a kernel ran, of each replica's GPUs. Low while requests wait: "
        "the GPU is not fed, look at the processors in use. Empty on a CPU, and on a MIG.",
        "percentunit",
        [Query(largest(of("carfront_gpu_utilization_ratio"), GPU), "{{instance}} gpu {{gpu}}")],
        no_value="no GPU",
        width=12, highest=1,
    ),
    Panel(
        "GPU memory",
        "What all processes of each GPU use, and what there is. It is flat once a replica is warm.",
        "bytes",
        [
            Query(largest(of("carfront_gpu_memory_used_bytes"), GPU), "{{instance}} gpu {{gpu}}"),
            Query(largest(of("carfront_gpu_memory_total_bytes"), GPU),
                  "{{instance}} gpu {{gpu}} in all"),
        ],
        no_value="no GPU",
        width=12,
    ),
), is_closed=True)  # fmt: skip

PROTOCOLS = Row("Models, and inference protocols", (
    Panel(
        "Batches by model",
        "Batches that each model runs, for callers of every interface.",
        "suffix: /s",
        [Query(total(rate("carfront_executions_total"), BY_MODEL), "{{model}} {{version}}")],
        no_value="no batches",
        width=6,
    ),
    Panel(
        "Inference requests",
        "Requests of inference protocols for each model: answered (success), or refused and failed "
        "(fail).",
        "suffix: /s",
        [Query(total(rate("carfront_inference_requests_total"), "model, version, outcome"),
               "{{model}} {{version}} {{outcome}}")],
        no_value="no requests",
        width=6,
    ),
    Panel(
        "Inference requests by step",
        "Seconds of a request that was answered, on average, as a whole (success) and step by "
        "step, over all models.",
        "s",
        [Query(
            f"{total(rate('carfront_inference_request_seconds_total', ANSWERED_STEP), 'step')} / "
            "on() group_left() "
            f"({total(rate('carfront_inference_requests_total', ANSWERED))} > 0)",
            "{{step}}",
        )],
        no_value="no requests",
        width=6,
    ),
    Panel(
        "Last inference",
        "Seconds since an inference protocol was last answered, for each model.",
        "s",
        [Query(f"time() - {largest(of(LAST), BY_MODEL)}", "{{model}} {{version}}")],
        no_value="never",
        width=6,
    ),
))  # fmt: skip

KEYS = Row("Keys", (
    Panel(
        "Images by key",
        "Images a second drawn for the holder of each key, over all replicas. Empty where nobody "
        "needs a key.",
        "short",
        [Query(total(rate("carfront_key_images_total"), "key"), "{{key}}")],
        no_value="no keys",
        width=12,
    ),
    Panel(
        "Refused by key",
        "Requests that a key did not allow: beyond its rate or its images in flight, larger than "
        "ever allowed at once, or for administrators only.",
        "reqps",
        [Query(f"{total(rate('carfront_key_refused_total'), 'key, reason')} > 0",
               "{{key}} {{reason}}")],
        no_value="none, or no keys",
        width=12,
    ),
))  # fmt: skip

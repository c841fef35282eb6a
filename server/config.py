"""The server's settings, read once from the environment (``CARFRONT_*``)."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from server.bundle.manifest import LATEST, NAME, VERSION
from server.config_error import ConfigError
from server.config_fields import (
    between,
    check_named,
    check_range,
    check_ranges,
    check_sendable,
    one_of,
    read,
)
from server.cpus import available_cpus
from server.ipc.engine_dir import EngineDir

GPU_PROVIDERS = ("cuda", "tensorrt", "tensorrt-rtx")
"""The providers that run on NVIDIA's GPUs."""
COMPILERS = GPU_PROVIDERS[1:]
"""The providers that compile a graph, for minutes, before they run it."""
PROVIDERS = ("auto", "openvino", "cpu", *GPU_PROVIDERS)
PRECISIONS = ("auto", "bf16", "f16", "int8", "f32", "exact")
PLANS = tuple(f"{x}/{y}" for x in PROVIDERS[1:] for y in PRECISIONS[1:])
"""Every plan that may draw; an engine's answer carries the number of a plan in this order."""
FLOATS_YES, FLOATS_NO = "yes", "no"
FLOAT_IMAGES = ("auto", FLOATS_YES, FLOATS_NO)
OTHERS = ("CARFRONT_CACHE",)
"""The project's variables that are not the server's: the directory of training's photographs."""
LOAD_S = 2
"""The seconds beyond a batch's timeout for which an engine may give no sign of life."""
COMPILE_S = 900
"""The value of ``LOAD_S`` for a provider that compiles: one too short would never let it start."""


@dataclass(frozen=True)
class ServerConfig:
    """The settings of a deployment; what the manifest says is never a setting.

    Every field is read from ``CARFRONT_<FIELD>``.

    Raises:
        ConfigError: a value cannot be used; the message names the variable.
    """

    host: str = "127.0.0.1"
    port: int = between(8000, 1, 65535)
    models: Path = Path("models")
    """The model repository: ``<name>/<version>/manifest.json``."""
    model: str = "cars-dcgan"
    """The default model, which answers requests that name none."""
    version: str = LATEST
    """The version of the default model; "latest" follows the repository."""
    serve: str = ""
    """The bundles that are served beside the default one: ``name`` (its newest version) or
    ``name/version``, several with commas between, or ``all``."""
    poll_s: int = between(10, 0, 86400)
    """The seconds between two scans of the repository for new versions; 0 never scans by itself."""
    admin_token: str = field(default="", repr=False)
    """The token with which a caller may load and unload models; empty lets nobody."""
    api_keys_file: Path | None = None
    """The file of those who may ask at all, see ``server.keys``; None lets everybody ask."""
    metrics_port: int = between(0, 0, 65535)
    """The port of the metrics and the probes; 0 has them at ``port``, and there alone."""
    grpc_port: int = between(0, 0, 65535)
    """The port of calls by gRPC; 0 answers none."""
    grpc_calls: int = between(256, 1, 4096)
    """The number of calls by gRPC that are answered at a time, beyond which they are refused."""
    workers: int = between(0, 0, 256)
    """The number of HTTP workers; 0 takes one a processor that may be used, at most 16."""
    provider: str = one_of("auto", PROVIDERS)
    precision: str = one_of("auto", PRECISIONS)
    engines: int = between(0, 0, 64)
    """The number of engine processes; 0 takes one for each visible GPU, or one without GPUs."""
    fallback: str = one_of("no", ("no", "yes"))
    """Whether another provider or precision may serve where the one that is set cannot: yes, no."""
    float_images: str = one_of("auto", FLOAT_IMAGES)
    """When the graph of float images is opened: auto, when they are first asked for; yes, with the
    bundle; no, never."""
    streams: int = between(0, 0, 64)
    """The number of an engine's batches in flight; 0 takes one a processor, at most 4."""
    threads: int = between(0, 0, 1024)
    """The inference threads of all streams of an engine together; 0 takes one a processor."""
    max_batch_size: int = between(0, 0, 4096)
    """The largest number of images in one inference; 0 learns it, or on a GPU measures it."""
    max_queue_delay_ms: int = between(0, 0, 1000)
    """The milliseconds that a batch which is not full waits for more rows; 0 never waits."""
    max_queue_rows: int = between(16384, 4096, 10_000_000)
    keepalive_s: int = between(75, 1, 3600)
    """The seconds that an idle connection is kept: longer than proxies in front keep theirs."""
    connections: int = between(1000, 10, 100_000)
    """The number of connections of one HTTP worker, beyond which the longest idle one ends."""
    read_timeout_s: int = between(20, 1, 3600)
    """The seconds that a request may take to arrive, head and body."""
    send_timeout_s: int = between(20, 1, 3600)
    """The seconds for which a caller may read nothing of its answer."""
    unsent_mib: int = between(32, 1, 65536)
    """The memory of one HTTP worker in MiB for answers that callers do not read; beyond it, the
    caller that has read nothing for the longest time loses its connection."""
    body_mib: int = between(16, 1, 1024)
    """The largest body in MiB of a request that may carry latents; others have 64 KiB at most."""
    bodies_mib: int = 32
    """The memory of one HTTP worker in MiB for bodies above 64 KiB, from the first byte that comes
    to the answer; beyond it, the request whose body comes most slowly is refused."""
    max_images: int = between(65_536, 1, 1_000_000)
    """The images of one request at most, in formats that are sent while the engine draws."""
    request_timeout_ms: int = between(30_000, 1, 3_600_000)
    batch_timeout_ms: int = between(10_000, 100, 3_600_000)
    """The milliseconds after which a batch is taken to hang and its engine is replaced. An engine
    that gives no sign of life is replaced a little later, see ``silence_s``."""
    arena_mib: int = between(32, 16, 4096)
    """The shared memory of one HTTP worker in MiB, for images on their way."""
    runtime_dir: Path | None = None
    """The directory of the engines' directories and the metrics' files; None makes a temporary
    one."""
    traces: str = one_of("none", ("none", "otlp"))
    """The exporter of each request's span: none, or otlp, set up by OpenTelemetry's variables."""
    log_level: str = one_of("info", ("debug", "info", "warning", "error"))
    log_format: str = one_of("auto", ("auto", "text", "json"))
    """The form of the log: text, json, or auto, which is text where stderr is a terminal."""

    def __post_init__(self) -> None:
        check_ranges(self)
        check_named("model", self.model, "a model's name", NAME)
        if self.version != LATEST:
            check_named("version", self.version, "latest, or a number", VERSION)
        for spec in self.served_beside:
            name, _, version = spec.partition("/")
            check_named(
                "serve", spec, "all, or name or name/version with commas between", NAME, name
            )
            if version:
                check_named(
                    "serve", spec, "name/version with a number as version", VERSION, version
                )
        check_sendable("admin_token", self.admin_token)
        if self.metrics_port == self.port and not self.host.startswith("unix:"):
            raise ConfigError("metrics_port", self.metrics_port, "another port than CARFRONT_PORT")
        others = self.metrics_port, 0 if self.host.startswith("unix:") else self.port
        if self.grpc_port and self.grpc_port in others:
            wanted = "another port than CARFRONT_PORT and CARFRONT_METRICS_PORT"
            raise ConfigError("grpc_port", self.grpc_port, wanted)
        check_range("bodies_mib", self.bodies_mib, self.body_mib, 65536)

    @property
    def served_beside(self) -> list[str]:
        """The specs that ``serve`` lists."""
        return [spec.strip() for spec in self.serve.split(",") if spec.strip()]

    @property
    def request_timeout_s(self) -> float:
        """The seconds that a caller may wait for its images."""
        return self.request_timeout_ms / 1000

    @property
    def silence_s(self) -> int:
        """The seconds for which an engine may give no sign of life: a batch's timeout and a load.

        While ONNX Runtime opens a session, no other Python code may run: for half a second, or for
        as long as the provider compiles.
        """
        load_s = COMPILE_S if self.provider in COMPILERS else LOAD_S
        return math.ceil(self.batch_timeout_ms / 1000) + load_s

    @property
    def http_workers(self) -> int:
        """The number of HTTP workers to start."""
        return self.workers or min(16, available_cpus())

    @property
    def inference_threads(self) -> int:
        """The number of an engine's inference threads; the engines share the processors."""
        return self.threads or max(1, available_cpus() // max(1, self.engines))

    @property
    def inference_streams(self) -> int:
        """The number of batches that an engine has in flight.

        On two cores, two streams of one thread are faster than one stream of two at every batch
        size: threads that wait for each other after each layer lose both cores' time when one of
        them is interrupted.
        """
        return self.streams or min(4, self.inference_threads)

    @property
    def lone_threads(self) -> int:
        """The number of threads that run a batch while no other batch runs.

        All threads do, up to 8 or as many as a stream has: images of 32 pixels have no work for
        more.
        """
        return max(self.threads_a_stream, min(self.inference_threads, 8))

    @property
    def threads_a_stream(self) -> int:
        """The number of threads of one stream."""
        return max(1, self.inference_threads // self.inference_streams)

    @property
    def engine_dirs(self) -> list[EngineDir]:
        """The directories of the engines, by their numbers.

        ``gunicorn.conf.py`` sets how many engines there are, and makes the runtime directory.

        Raises:
            ConfigError: the runtime directory is not set.
        """
        numbers = range(max(1, self.engines))
        return [EngineDir(self._runtime() / f"engine-{number}") for number in numbers]

    @property
    def processes_path(self) -> Path:
        """The directory in which ``server.observability.process_stats`` registers the processes.

        Raises:
            ConfigError: the runtime directory is not set.
        """
        return self._runtime() / "processes"

    @property
    def api_keys_copy(self) -> Path:
        """The file in which the last good file of keys is kept.

        Raises:
            ConfigError: the runtime directory is not set.
        """
        return self._runtime() / "keys" / "last-good"

    def _runtime(self) -> Path:
        if self.runtime_dir is None:
            raise ConfigError("runtime_dir", None, "a directory, or a start by gunicorn.conf.py")
        return self.runtime_dir

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "ServerConfig":
        """Return the settings in ``environ``.

        Raises:
            ConfigError: a value cannot be used, or a ``CARFRONT_`` variable is no setting's.
        """
        return cls(**read(cls, environ, OTHERS))

"""The server's settings, read once from the environment (``CARFRONT_*``)."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from server.bundle.manifest import LATEST, NAME, VERSION
from server.config_error import (
    PREFIX,
    ConfigError,
    UnknownSetting,
    check_between,
    check_named,
    check_one_of,
    check_sendable,
)
from server.cpus import available_cpus
from server.ipc.engine_dir import EngineDir

GPU_PROVIDERS = ("cuda", "tensorrt", "tensorrt-rtx")
"""The providers that run on NVIDIA's GPUs."""
COMPILERS = GPU_PROVIDERS[1:]
"""The providers that compile a graph, for minutes, before they run it."""
PROVIDERS = ("auto", "openvino", "cpu", *GPU_PROVIDERS)
PRECISIONS = ("auto", "bf16", "f16", "int8", "f32")
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
    port: int = 8000
    models: Path = Path("models")
    """The model repository: ``<name>/<version>/manifest.json``."""
    model: str = "cars-dcgan"
    """The default model, which answers requests that name none."""
    version: str = LATEST
    """The version of the default model; "latest" follows the repository."""
    serve: str = ""
    """The bundles that are served beside the default one: ``name`` (its newest version) or
    ``name/version``, several with commas between, or ``all``."""
    poll_s: int = 10
    """The seconds between two scans of the repository for new versions; 0 never scans by itself."""
    admin_token: str = field(default="", repr=False)
    """The token with which a caller may load and unload models; empty lets nobody."""
    workers: int = 0
    """The number of HTTP workers; 0 takes one a processor that may be used, at most 16."""
    provider: str = "auto"
    precision: str = "auto"
    engines: int = 0
    """The number of engine processes; 0 takes one for each visible GPU, or one without GPUs."""
    fallback: str = "no"
    """Whether another provider or precision may serve where the one that is set cannot: yes, no."""
    streams: int = 0
    """The number of an engine's batches in flight; 0 takes one a processor, at most 4."""
    threads: int = 0
    """The inference threads of all streams of an engine together; 0 takes one a processor."""
    max_batch_size: int = 0
    """The largest number of images in one inference; 0 learns it, or on a GPU measures it."""
    max_queue_delay_ms: int = 0
    """The milliseconds that a batch which is not full waits for more rows; 0 never waits."""
    max_queue_rows: int = 16384
    keepalive_s: int = 75
    """The seconds that an idle connection is kept: longer than proxies in front keep theirs."""
    connections: int = 1000
    """The number of connections of one HTTP worker, beyond which the longest idle one ends."""
    read_timeout_s: int = 20
    """The seconds that a request may take to arrive, head and body."""
    send_timeout_s: int = 20
    """The seconds for which a caller may read nothing of its answer."""
    unsent_mib: int = 32
    """The memory of one HTTP worker in MiB for answers that callers do not read; beyond it, the
    caller that has read nothing for the longest time loses its connection."""
    request_timeout_ms: int = 30_000
    batch_timeout_ms: int = 10_000
    """The milliseconds after which a batch is taken to hang and its engine is replaced. An engine
    that gives no sign of life is replaced a little later, see ``silence_s``."""
    arena_mib: int = 32
    """The shared memory of one HTTP worker in MiB, for images on their way."""
    runtime_dir: Path | None = None
    """The directory of the engines' directories and the metrics' files; None makes a temporary
    one."""
    traces: str = "none"
    """The exporter of each request's span: none, or otlp, set up by OpenTelemetry's variables."""
    log_level: str = "info"
    log_format: str = "auto"
    """The form of the log: text, json, or auto, which is text where stderr is a terminal."""

    def __post_init__(self) -> None:
        check_between("port", self.port, 1, 65535)
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
        check_between("poll_s", self.poll_s, 0, 86400)
        check_sendable("admin_token", self.admin_token)
        check_between("workers", self.workers, 0, 256)
        check_between("engines", self.engines, 0, 64)
        check_between("streams", self.streams, 0, 64)
        check_between("threads", self.threads, 0, 1024)
        check_between("max_batch_size", self.max_batch_size, 0, 4096)
        check_between("max_queue_delay_ms", self.max_queue_delay_ms, 0, 1000)
        check_between("max_queue_rows", self.max_queue_rows, 4096, 10_000_000)
        check_between("keepalive_s", self.keepalive_s, 1, 3600)
        check_between("connections", self.connections, 10, 100_000)
        check_between("read_timeout_s", self.read_timeout_s, 1, 3600)
        check_between("send_timeout_s", self.send_timeout_s, 1, 3600)
        check_between("unsent_mib", self.unsent_mib, 1, 65536)
        check_between("request_timeout_ms", self.request_timeout_ms, 1, 3_600_000)
        check_between("batch_timeout_ms", self.batch_timeout_ms, 100, 3_600_000)
        check_between("arena_mib", self.arena_mib, 16, 4096)
        check_one_of("provider", self.provider, PROVIDERS)
        check_one_of("precision", self.precision, PRECISIONS)
        check_one_of("fallback", self.fallback, ("no", "yes"))
        check_one_of("traces", self.traces, ("none", "otlp"))
        check_one_of("log_format", self.log_format, ("auto", "text", "json"))
        check_one_of("log_level", self.log_level, ("debug", "info", "warning", "error"))

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
        known = {PREFIX + setting.name.upper(): setting for setting in fields(cls)}
        for variable in environ:
            if variable.startswith(PREFIX) and variable not in (*known, *OTHERS):
                raise UnknownSetting(variable, known)
        settings: dict[str, object] = {}
        for variable, setting in known.items():
            if environ.get(variable):
                settings[setting.name] = _parse(setting.name, setting.type, environ[variable])
        return cls(**settings)  # type: ignore[arg-type]


def _parse(name: str, kind: object, text: str) -> object:
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ConfigError(name, text, "a whole number") from None
    return text if kind is str else Path(text)

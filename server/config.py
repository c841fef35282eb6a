"""The server's settings, read once from the environment (``CARFRONT_*``)."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from server.bundle.manifest import LATEST, NAME, VERSION
from server.cpus import available_cpus
from server.ipc.engine_dir import EngineDir

GPU_PROVIDERS = ("cuda", "tensorrt", "tensorrt-rtx")
"""Providers that run on NVIDIA's GPUs."""
COMPILERS = GPU_PROVIDERS[1:]
"""Those of them that compile a graph, for minutes, before they run it."""
PROVIDERS = ("auto", "openvino", "cpu", *GPU_PROVIDERS)
PRECISIONS = ("auto", "bf16", "f16", "int8", "f32")
PREFIX = "CARFRONT_"
OTHERS = ("CARFRONT_CACHE",)
"""Variables of the project that are not the server's: where training keeps its photographs."""

LOAD_S = 2
"""How much longer than a batch an engine may be silent."""
COMPILE_S = 900
"""The same where its provider compiles: a limit that is too short would never let it start."""


class ConfigError(Exception):
    """A setting has a value that cannot be used."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        super().__init__(f"{PREFIX}{name.upper()} is {value!r}; wanted {wanted}")


@dataclass(frozen=True)
class ServerConfig:
    """What the one who deploys may choose; what the manifest says is never a setting.

    Every field is read from ``CARFRONT_<FIELD>``.

    Raises:
        ConfigError: a value cannot be used; the message names the variable.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    models: Path = Path("models")
    """The model repository: ``<name>/<version>/manifest.json``."""
    model: str = "cars-dcgan"
    """The model that answers those who name none."""
    version: str = LATEST
    """Its version; latest follows the repository."""
    serve: str = ""
    """What else is served: ``name`` (its newest version) or ``name/version``, several with commas
    between, or ``all``."""
    poll_s: int = 10
    """How often the repository is looked at for new versions; 0 never looks by itself."""
    admin_token: str = ""
    """Who sends it may load and unload models; empty lets nobody."""
    workers: int = 0
    """HTTP workers; 0 takes one a processor this process may use, at most 16."""
    provider: str = "auto"
    precision: str = "auto"
    engines: int = 0
    """Engine processes; 0 takes one a GPU that is visible, and one where there is none."""
    fallback: str = "no"
    """Whether another provider or precision may serve where the one that is set cannot: yes, no."""
    streams: int = 0
    """Batches in flight of an engine; 0 takes one a processor it may use, at most 4."""
    threads: int = 0
    """Inference threads of all streams of an engine together; 0 takes one a processor."""
    max_batch_size: int = 0
    """Images of one inference at most; 0 takes what this host is fast with."""
    max_queue_delay_ms: int = 0
    """How long a batch that is not full waits for more; 0 runs what is there."""
    max_queue_rows: int = 16384
    keepalive_s: int = 75
    """How long a connection may ask for nothing: longer than proxies in front keep theirs."""
    request_timeout_ms: int = 30_000
    batch_timeout_ms: int = 10_000
    """An engine whose batch takes longer hangs, and is replaced. One that gives no sign of life is
    replaced a little later, see ``silence_s``."""
    arena_mib: int = 32
    """Shared memory of one HTTP worker, for latents and images on their way."""
    runtime_dir: Path | None = None
    """For the engines' folders and the metrics' files; None makes one and removes it at the end."""
    traces: str = "none"
    """Where each request's span goes: none, or otlp, as OpenTelemetry's own variables say."""
    log_level: str = "info"
    log_format: str = "auto"
    """text, json, or auto: text where stderr is a terminal."""

    def __post_init__(self) -> None:
        _between("port", self.port, 1, 65535)
        _named("model", self.model, "a model's name", NAME)
        if self.version != LATEST:
            _named("version", self.version, "latest, or a number", VERSION)
        for spec in self.served_beside:
            name, _, version = spec.partition("/")
            _named("serve", spec, "all, or name or name/version with commas between", NAME, name)
            if version:
                _named("serve", spec, "name/version with a number as version", VERSION, version)
        _between("poll_s", self.poll_s, 0, 86400)
        _between("workers", self.workers, 0, 256)
        _between("engines", self.engines, 0, 64)
        _between("streams", self.streams, 0, 64)
        _between("threads", self.threads, 0, 1024)
        _between("max_batch_size", self.max_batch_size, 0, 4096)
        _between("max_queue_delay_ms", self.max_queue_delay_ms, 0, 1000)
        _between("max_queue_rows", self.max_queue_rows, 4096, 10_000_000)
        _between("keepalive_s", self.keepalive_s, 1, 3600)
        _between("request_timeout_ms", self.request_timeout_ms, 1, 3_600_000)
        _between("batch_timeout_ms", self.batch_timeout_ms, 100, 3_600_000)
        _between("arena_mib", self.arena_mib, 16, 4096)
        _one_of("provider", self.provider, PROVIDERS)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("fallback", self.fallback, ("no", "yes"))
        _one_of("traces", self.traces, ("none", "otlp"))
        _one_of("log_format", self.log_format, ("auto", "text", "json"))
        _one_of("log_level", self.log_level, ("debug", "info", "warning", "error"))

    @property
    def served_beside(self) -> list[str]:
        """What ``serve`` lists."""
        return [spec.strip() for spec in self.serve.split(",") if spec.strip()]

    @property
    def request_timeout_s(self) -> float:
        """How long a caller may wait for its images, in seconds."""
        return self.request_timeout_ms / 1000

    @property
    def silence_s(self) -> int:
        """How long an engine may give no sign of life: a batch's time, and a moment to load.

        While ONNX Runtime opens a session, nothing else of Python may run: half a second, or for
        as long as the provider compiles.
        """
        load_s = COMPILE_S if self.provider in COMPILERS else LOAD_S
        return math.ceil(self.batch_timeout_ms / 1000) + load_s

    @property
    def http_workers(self) -> int:
        """How many HTTP workers to start."""
        return self.workers or min(16, available_cpus())

    @property
    def inference_threads(self) -> int:
        """How many threads an engine infers with: they share the processors."""
        return self.threads or max(1, available_cpus() // max(1, self.engines))

    @property
    def inference_streams(self) -> int:
        """How many batches an engine has in flight.

        On two cores two streams of one thread beat one stream of two at every batch size: threads
        that wait for each other after each layer lose both cores' time when one is interrupted.
        """
        return self.streams or min(4, self.inference_threads)

    @property
    def lone_threads(self) -> int:
        """How many threads run a batch beside which no other runs; all, but for very many.

        An image of 32 pixels has no work for more.
        """
        return max(self.threads_a_stream, min(self.inference_threads, 8))

    @property
    def threads_a_stream(self) -> int:
        """How many threads one inference uses."""
        return max(1, self.inference_threads // self.inference_streams)

    @property
    def engine_dirs(self) -> list[EngineDir]:
        """Where each engine and the HTTP workers meet.

        ``gunicorn.conf.py`` sets how many engines there are, and makes the runtime directory.

        Raises:
            ConfigError: there is none.
        """
        numbers = range(max(1, self.engines))
        return [EngineDir(self._runtime() / f"engine-{number}") for number in numbers]

    @property
    def processes_path(self) -> Path:
        """Where the server's processes are registered, see ``server.observability.process_stats``.

        Raises:
            ConfigError: as ``engine_dirs`` does.
        """
        return self._runtime() / "processes"

    def _runtime(self) -> Path:
        if self.runtime_dir is None:
            raise ConfigError("runtime_dir", None, "a directory, or a start by gunicorn.conf.py")
        return self.runtime_dir

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "ServerConfig":
        """Return the settings in ``environ``; a variable that no setting has is an error."""
        known = {PREFIX + field.name.upper(): field for field in fields(cls)}
        for variable in environ:
            if variable.startswith(PREFIX) and variable not in (*known, *OTHERS):
                name = variable.removeprefix(PREFIX)
                raise ConfigError(
                    name, environ[variable], f"one of the settings {', '.join(known)}"
                )
        settings: dict[str, object] = {}
        for variable, field in known.items():
            if environ.get(variable):
                settings[field.name] = _parse(field.name, field.type, environ[variable])
        return cls(**settings)  # type: ignore[arg-type]


def _parse(name: str, kind: object, text: str) -> object:
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ConfigError(name, text, "a whole number") from None
    return text if kind is str else Path(text)


def _between(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(name, value, f"{low} to {high}")


def _named(
    name: str, value: str, wanted: str, pattern: re.Pattern[str], part: str | None = None
) -> None:
    if not pattern.fullmatch(value if part is None else part):
        raise ConfigError(name, value, wanted)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(name, value, f"one of {', '.join(choices)}")

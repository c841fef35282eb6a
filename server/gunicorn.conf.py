"""How gunicorn runs the server, settings and hooks: ``gunicorn -c server/gunicorn.conf.py``."""

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

# NumPy's linear algebra is not used here, and its threads would spin beside the start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from server import boot, keys, runtime_dir
from server.arbiters import Survivor, hear_signals, lowest_free, tried_again
from server.bundle import repository
from server.bundle.manifest import BundleError
from server.config import ServerConfig
from server.config_error import ConfigError
from server.engine import supervision
from server.grpc.installed import check_installed as check_grpc
from server.grpc.worker import NAME as GRPC
from server.grpc.worker import GrpcWorker, start_one
from server.ipc.atomic_file import make_folder, write_whole
from server.observability import gpus, worker_restarts
from server.observability.logs import configure, renew
from server.observability.process_stats import register_process
from server.observability.tracing import check_installed
from server.worker.connection_balance import ConnectionBalance
from server.worker.key_limits import KeyLimits

# What stops the boot is in the log's form too.
configure("info", os.environ.get("CARFRONT_LOG_FORMAT", "auto"))
try:
    server_config = ServerConfig.from_env()
    if server_config.traces != "none":
        check_installed()
    if server_config.grpc_port:
        check_grpc(server_config.grpc_port)
except ConfigError as error:
    sys.exit(f"carfront cannot start: {error}")

# What was chosen, or what there is: the engines and the HTTP workers read it from here.
engines = server_config.engines or gpus.engines_for(server_config.provider)
os.environ["CARFRONT_ENGINES"] = str(engines)

configure(server_config.log_level, server_config.log_format)

wsgi_app = "server.app:create_app()"
bind = boot.binds_of(server_config.host, server_config.port, server_config.metrics_port)
# gunicorn ends the engine that a dead server of this name left behind: two servers, two names.
proc_name = f"carfront-{server_config.host}-{server_config.port}"
loglevel = server_config.log_level
logger_class = "server.observability.logs.GunicornLogger"
control_socket_disable = True

worker_class = "server.worker.gunicorn_worker.Worker"
# The process that answers by gRPC is a worker of another class.
workers = server_config.http_workers + bool(server_config.grpc_port)
keepalive = server_config.keepalive_s
# More are accepted than may stay: the longest idle one ends for each, which takes a moment.
worker_connections = server_config.connections + boot.ENDING_CONNECTIONS
# A healthy worker is silent too, for seconds, while the reader of its log pauses.
timeout = 15

# After SIGTERM each limit ends before the next. Engines serve on for a second less (SPARE_S,
# process.py) and end JOIN_S (half a second) later; their arbiter kills those that have not, and
# gunicorn what is left; a pod has terminationGracePeriodSeconds (k8s/base/deployment.yaml).
# A worker that ends sends its traces within the same time: gunicorn looks at no sign until then.
graceful_timeout = 30
dirty_graceful_timeout = graceful_timeout

# The number in the name also keeps the arbiter from importing ONNX Runtime.
dirty_apps = [f"server.engine.process:EngineApp:{engines}"]
dirty_workers = engines
dirty_timeout = server_config.silence_s

master = dirty_arbiter = None


def on_starting(server):
    """Once, before the first fork; a reload reads this file again, but does not come here."""
    global master
    master = server
    server.connection_balance = ConnectionBalance()
    server.key_limits = KeyLimits.create() if server_config.api_keys_file else None
    server.own_runtime_dir = None
    known_keys = _read_keys()
    try:
        bundle = repository.find(server_config.models, server_config.model, server_config.version)
    except BundleError as error:
        sys.exit(f"carfront cannot start: {error}")
    try:
        _make_runtime_dir(server, bundle)
        if known_keys is not None:
            write_whole(ServerConfig.from_env().api_keys_copy, known_keys)
    except OSError as error:
        told = os.environ.get("CARFRONT_RUNTIME_DIR")
        sys.exit(
            f"carfront cannot start: CARFRONT_RUNTIME_DIR is {told!r}; "
            f"wanted a directory of this user's, with room: {error}"
        )
    if fault := boot.fault_of_temporary_files():
        sys.exit(f"carfront cannot start: {fault}")
    _check_open_files(server)
    server.survivor = Survivor(server)
    if port := server_config.grpc_port:
        if fault := boot.fault_of_address(server_config.host, port):
            wanted = f"wanted a port that is free at {server_config.host}"
            sys.exit(f"carfront cannot start: CARFRONT_GRPC_PORT is {port}; {wanted}: {fault}")
        server.spawn_worker = start_one(server.spawn_worker, server)


def _read_keys():
    """Return the file of keys, which is checked, or None where nobody needs a key."""
    if (path := server_config.api_keys_file) is None:
        return None
    try:
        text = keys.read(path)
        keys.parse(text)
    except keys.KeysFault as fault:
        told = os.environ["CARFRONT_API_KEYS_FILE"]
        sys.exit(
            f"carfront cannot start: CARFRONT_API_KEYS_FILE is {told!r}; "
            f"wanted a file of keys: {fault}"
        )
    return text


def _make_runtime_dir(server, bundle):
    if server_config.runtime_dir is None:
        server.own_runtime_dir = tempfile.mkdtemp(prefix="carfront-")
        os.environ["CARFRONT_RUNTIME_DIR"] = server.own_runtime_dir
    config = ServerConfig.from_env()
    metrics_dir = runtime_dir.prepare(config, bundle)
    register_process(config.processes_path, "arbiter")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_dir)


def _check_open_files(server):
    probes = boot.PROBE_CONNECTIONS if server_config.metrics_port else 0
    wanted = worker_connections + boot.SPARE_FILES + probes
    allowed, most = boot.allowed_files(wanted), server_config.connections
    server.log.info("connections of an HTTP worker: %d at most; ulimit -n: %d", most, allowed)
    if allowed < wanted:
        server.log.warning(
            "CARFRONT_CONNECTIONS is %d, but an HTTP worker may have only %d open files: "
            "set ulimit -n to %d",
            most, allowed, wanted,
        )  # fmt: skip


def on_reload(server):
    """Have the engines look at the model repository; gunicorn replaces the HTTP workers."""
    global master
    master = server
    # gunicorn logs that it reloads its "dirty workers", and ends the new ones: the old ones stay.
    server.log.info("SIGHUP: HTTP workers are replaced; engines stay, and look at the repository")
    for engine_dir in ServerConfig.from_env().engine_dirs:
        try:
            make_folder(engine_dir.folder)
            engine_dir.rescan.touch()
        except OSError as error:
            server.log.error("an engine cannot be told to look at the repository: %s", error)


def on_dirty_starting(arbiter):
    """Close the engines' copy of the HTTP port: clients would queue there while the server ends."""
    global dirty_arbiter
    dirty_arbiter = arbiter
    arbiter.spawn_worker = tried_again(
        arbiter.spawn_worker, "an engine", arbiter.log, lambda: make_folder(Path(arbiter.tmpdir))
    )
    engine_dirs = ServerConfig.from_env().engine_dirs
    arbiter.reap_workers = supervision.witnessed(arbiter.reap_workers, arbiter, engine_dirs)
    hear_signals(master)
    for listener in master.LISTENERS:
        listener.sock.close()


def dirty_post_fork(arbiter, worker):
    """Note in the arbiter which number the new engine has; the engine finds the same.

    While the engine loads, its arbiter looks at what it does, too.
    """
    worker.number = lowest_free(x.number for x in arbiter.workers.values() if x is not worker)
    worker.tmp = supervision.heartbeat(worker, ServerConfig.from_env().engine_dirs)


def dirty_worker_init(worker):
    """Start the engine, in its own process: its arbiter's list is as it was at the fork."""
    number = lowest_free(other.number for other in dirty_arbiter.workers.values())
    for app in worker.apps.values():
        app.start(number, dirty_arbiter.pid, worker)


def when_ready(server):
    scheme = "https" if server.cfg.is_ssl else "http"
    key = "-H 'X-API-Key: ...' " if server_config.api_keys_file else ""
    for listener in server.LISTENERS:
        name = listener.sock.getsockname()
        if boot.is_for_probes(name, server_config.metrics_port):
            server.log.info("metrics and probes on %s", listener)
            continue
        ask = boot.curl_arguments(name, scheme, "/v1/images/7.png")
        server.log.info(
            "%s on %s; try: curl %s%s -o car.png", server_config.model, listener, key, ask
        )
    if server_config.grpc_port:
        address = boot.grpc_address(server_config.host, server_config.grpc_port)
        server.log.info("gRPC on %s", address)


def pre_fork(server, worker):
    """Give the worker the lowest slot that is free: its metrics go on where a dead one's ended."""
    worker.slot = lowest_free(other.slot for other in server.WORKERS.values())


def post_fork(server, worker):
    hear_signals(server)
    name = GRPC if isinstance(worker, GrpcWorker) else f"http-{worker.slot}"
    worker_restarts.register(worker, name)
    worker.connection_balance = server.connection_balance
    if server.key_limits:
        server.key_limits.hand_to(worker.slot)
    worker.survivor = server.survivor
    renew()


def post_worker_init(worker):
    """Spare the collector what stays for good: it would look through all of it again and again."""
    worker_restarts.count(worker)
    if not isinstance(worker, GrpcWorker):
        worker.survivor.has_begun()
    gc.collect()
    gc.freeze()


worker_exit = worker_restarts.worker_exit


def child_exit(server, worker):
    server.connection_balance.leave(worker.slot)
    if server.key_limits:
        server.key_limits.leave(worker.slot)


def on_exit(server):
    if server.own_runtime_dir:
        shutil.rmtree(server.own_runtime_dir, ignore_errors=True)

"""How gunicorn runs the server, settings and hooks: ``gunicorn -c server/gunicorn.conf.py``."""

import gc
import os
import queue
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

# NumPy's linear algebra is not used here, and its threads would spin beside the start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from server import boot
from server.arbiters import Survivor, tried_again
from server.bundle import repository
from server.bundle.manifest import BundleError
from server.config import ServerConfig
from server.config_error import ConfigError
from server.engine import supervision
from server.ipc.atomic_file import make_folder
from server.ipc.catalog import LOADING, Catalog, Entry, facts_of
from server.observability import gpus
from server.observability.logs import configure, renew
from server.observability.process_stats import register_process
from server.observability.tracing import check_installed
from server.worker.connection_balance import ConnectionBalance

# What stops the boot is in the log's form too.
configure("info", os.environ.get("CARFRONT_LOG_FORMAT", "auto"))
try:
    server_config = ServerConfig.from_env()
    if server_config.traces != "none":
        check_installed()
except ConfigError as error:
    sys.exit(f"carfront cannot start: {error}")

# What was chosen, or what there is: the engines and the HTTP workers read it from here.
engines = server_config.engines or gpus.engines_for(server_config.provider)
os.environ["CARFRONT_ENGINES"] = str(engines)

configure(server_config.log_level, server_config.log_format)

wsgi_app = "server.app:create_app()"
bind = boot.bind_of(server_config.host, server_config.port)
# gunicorn ends the engine that a dead server of this name left behind: two servers, two names.
proc_name = f"carfront-{server_config.host}-{server_config.port}"
loglevel = server_config.log_level
logger_class = "server.observability.logs.GunicornLogger"
control_socket_disable = True

worker_class = "server.worker.gunicorn_worker.Worker"
workers = server_config.http_workers
keepalive = server_config.keepalive_s
# One more is accepted than may stay: the longest idle one ends for it.
worker_connections = server_config.connections + 1
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

master = None
dirty_arbiter = None


def on_starting(server):
    """Once, before the first fork; a reload reads this file again, but does not come here."""
    global master
    master = server
    server.connection_balance = ConnectionBalance()
    server.own_runtime_dir = None
    try:
        bundle = repository.find(server_config.models, server_config.model, server_config.version)
    except BundleError as error:
        sys.exit(f"carfront cannot start: {error}")
    try:
        _make_runtime_dir(server, bundle)
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


def _make_runtime_dir(server, bundle):
    if server_config.runtime_dir is None:
        server.own_runtime_dir = tempfile.mkdtemp(prefix="carfront-")
        os.environ["CARFRONT_RUNTIME_DIR"] = server.own_runtime_dir
    config = ServerConfig.from_env()
    for engine_dir in config.engine_dirs:
        engine_dir.prepare()
    _announce(bundle, config.engine_dirs)
    metrics_dir, processes_dir = config.runtime_dir / "metrics", config.processes_path
    for folder in (metrics_dir, processes_dir):
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
    register_process(processes_dir, "arbiter")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_dir)


def _check_open_files(server):
    wanted = worker_connections + boot.SPARE_FILES
    if (allowed := boot.allowed_files(wanted)) < wanted:
        server.log.warning(
            "CARFRONT_CONNECTIONS is %d, but an HTTP worker may have only %d open files: "
            "set ulimit -n to %d",
            server_config.connections, allowed, wanted,
        )  # fmt: skip


def _announce(bundle, engine_dirs):
    """Tell the HTTP workers what will be served, until the engines say what is."""
    manifest = bundle.manifest
    entry = Entry(manifest.name, manifest.version, LOADING, "", bundle.key, facts_of(manifest))
    newest = {manifest.name: manifest.version}
    for engine_dir in engine_dirs:
        Catalog(str(entry), {str(entry): entry}, (), newest).write(engine_dir.catalog)


def on_reload(server):
    """Have the engines look at the model repository; gunicorn replaces the HTTP workers."""
    global master
    master = server
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
    _hear_signals(master)
    for listener in master.LISTENERS:
        listener.sock.close()


def dirty_post_fork(arbiter, worker):
    """Note in the arbiter which number the new engine has; the engine finds the same.

    While the engine loads, its arbiter looks at what it does, too.
    """
    worker.number = _free(x.number for x in arbiter.workers.values() if x is not worker)
    worker.tmp = supervision.heartbeat(worker, ServerConfig.from_env().engine_dirs)


def dirty_worker_init(worker):
    """Start the engine, in its own process: its arbiter's list is as it was at the fork."""
    number = _free(other.number for other in dirty_arbiter.workers.values())
    for app in worker.apps.values():
        app.start(number, dirty_arbiter.pid, worker)


def when_ready(server):
    scheme = "https" if server.cfg.is_ssl else "http"
    for listener in server.LISTENERS:
        ask = boot.curl_arguments(listener.sock.getsockname(), scheme, "/v1/images/7.png")
        server.log.info("%s on %s; try: curl %s -o car.png", server_config.model, listener, ask)


def pre_fork(server, worker):
    """Give the worker the lowest slot that is free: its metrics go on where a dead one's ended."""
    worker.slot = _free(other.slot for other in server.WORKERS.values())


def _free(taken):
    """Return the lowest number that is not taken."""
    taken = set(taken)
    return min(set(range(len(taken) + 1)) - taken)


def post_fork(server, worker):
    _hear_signals(server)
    name = f"http-{worker.slot}"
    os.environ["PROMETHEUS_MULTIPROC_SLOT"] = name
    register_process(ServerConfig.from_env().processes_path, name)
    worker.connection_balance = server.connection_balance
    worker.survivor = server.survivor
    renew()


def _hear_signals(server):
    """Have a signal that stops the server end this process, until gunicorn has set it up.

    It has the arbiter's handlers still. They note what comes in a copy of the arbiter's queue that
    nobody reads, and the server would wait for this process, 30 s.
    """
    stops = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
    for number in stops:
        signal.signal(number, signal.SIG_DFL)
    noted = set()
    with suppress(queue.Empty):
        while True:
            noted.add(server.SIG_QUEUE.get_nowait())
    if noted & stops:
        sys.exit(0)


def post_worker_init(worker):
    """Spare the collector what stays for good: it would look through all of it again and again."""
    worker.survivor.has_begun()
    gc.collect()
    gc.freeze()


def child_exit(server, worker):
    server.connection_balance.leave(worker.slot)


def on_exit(server):
    if server.own_runtime_dir:
        shutil.rmtree(server.own_runtime_dir, ignore_errors=True)

"""Who may import what: lists of what is allowed, so that nothing new escapes them."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = ("tensorflow", "keras", "tf2onnx", "onnx", "training", "export", "loadtests")
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {forbidden!r}:
    sys.modules[name] = None  # an import of it raises
import server
for module in pkgutil.walk_packages(server.__path__, "server."):
    if not module.name.endswith(".conf"):
        importlib.import_module(module.name)
print(len([name for name in sys.modules if name.startswith("server.")]))
"""


def test_every_module_of_the_server_imports_without_the_training_libraries():
    code = IMPORT_ALL.format(forbidden=FORBIDDEN)
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 15


def test_serving_requirements_hold_no_training_library():
    for lock in ("serve.txt", "serve-gpu.txt", "serve-tracing.txt"):
        text = (ROOT / "requirements" / lock).read_text()
        names = {line.split("==")[0].split("[")[0] for line in text.splitlines() if "==" in line}
        assert not names & {"tensorflow", "tensorflow-cpu", "keras", "tf2onnx", "onnx"}
        assert "flask" in names


def test_locks_hold_hashes_and_no_addresses():
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text
        assert "--index-url" not in text
        assert "--find-links" not in text
        pins = [line for line in text.splitlines() if "==" in line and line[0].isalnum()]
        assert text.count("--hash=sha256:") >= len(pins) > 10


def test_what_is_exported_and_tested_runs_on_the_runtime_that_serves():
    """Else the export would prove plans that no server runs."""
    serve, tracing, dev = (
        {line.rstrip(" \\") for line in text.splitlines() if line.startswith("onnxruntime")}
        for text in (
            (ROOT / "requirements" / f"{name}.txt").read_text()
            for name in ("serve", "serve-tracing", "dev")
        )
    )
    assert serve == tracing == dev
    assert {line.split("==")[0] for line in serve} == {"onnxruntime", "onnxruntime-openvino"}
    assert all(" ; " in line for line in serve)  # one of the two is installed, never both


PROGRAMS = ("server", "carfront", "export", "training", "loadtests", "inversion")
MAY_IMPORT = {
    "server": ("inversion",),
    "carfront": (
        "server.bundle",
        "server.cpus",
        "server.errors",
        "server.observability.gpus",
        "server.runtime",
    ),
    "export": ("server.bundle", "server.runtime"),
    "training": ("inversion",),
    "loadtests": (  # of the queue alone, see the next test
        "server.admission",
        "server.engine.batch_limit",
        "server.engine.batcher",
        "server.errors",
        "server.queue_state",
        "training.models",  # one peer serves the network as training builds it
        "training.normalization",
    ),
    "inversion": (),
}
"""What each program may import of the others."""
MAY_BE_IMPORTED_BY = {
    "apispec": ("server.api.openapi",),
    "boto3": ("carfront.datasets.s3_store",),
    "click": ("carfront.command_line", "carfront.commands"),
    "flask": ("server.app", "server.api", "loadtests.peers"),
    "gevent": (
        "loadtests.load.collector",
        "loadtests.load.users.caller",
        "loadtests.locustfile",
        "server.worker.caller_socket",
        "server.worker.gevent_io",
        "server.worker.gunicorn_worker",
    ),
    "gunicorn": (
        "server.arbiters",
        "server.engine.process",
        "server.grpc.worker",
        "server.observability.logs",
        "server.worker",
    ),
    "google": ("server.grpc",),
    "grpc": ("loadtests.fuzz.call_player", "server.grpc"),
    "grpc_health": ("server.grpc",),
    "grpc_reflection": ("server.grpc",),
    "httpx": ("carfront.async_client", "carfront.client", "carfront.http"),
    "onnxruntime": (
        "server.runtime",
        "export",
        "loadtests.peers",
        "training.evaluation.bundles",
        "training.inversion",
    ),
    "PIL": (
        "export",
        "inversion.photograph",
        "loadtests",
        "server.codecs.animation",
        "server.codecs.pillow",
        "training",
    ),
    "pyarrow": ("carfront.datasets.parquet", "training.data.parquet"),
    "prometheus_client": ("server.observability", "server.api.health"),
    "tensorflow": ("export", "loadtests.peers.flask_keras", "training"),
    "keras": ("export", "training"),
    "onnx": ("export", "loadtests.peak", "loadtests.peers.keras_generator"),
}
"""Which modules may import a library; whatever else imports it is found."""
PURE = {
    "server.admission": (),
    "server.engine.batcher": (
        "server.admission",
        "server.engine.drain_rate",
        "server.errors",
        "server.fair_order",
        "server.queue_state",
    ),
    "server.engine.batch_limit": (),
    "server.engine.drain_rate": (),
    "server.engine.running_batches": (),
    "server.engine.wanted": ("server.bundle.manifest", "server.bundle.repository", "server.config"),
    "server.fair_order": (),
}
"""Policy that is tested without sockets, sessions and sleeping, and all that it may import."""


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(*PROGRAMS, include_external_packages=True, cache_dir=None)


def is_in(module, packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_imports_of_the_others_what_it_may(graph, program):
    others = [other for other in PROGRAMS if other != program]
    found = {
        f"{module} imports {imported}"
        for module in graph.modules
        if is_in(module, [program])
        for imported in graph.find_modules_directly_imported_by(module)
        if is_in(imported, others) and not is_in(imported, MAY_IMPORT[program])
    }
    assert not found


def test_only_drawing_a_bundle_needs_the_server(graph):
    importers = graph.find_modules_that_directly_import
    found = {x for y in graph.modules if is_in(y, ["server"]) for x in importers(y)}
    assert {x for x in found if is_in(x, ["carfront"])} == {"carfront.datasets.bundle_source"}


def test_only_the_simulation_needs_the_server_s_queue(graph):
    importers = graph.find_modules_that_directly_import
    found = {x for y in graph.modules if is_in(y, ["server"]) for x in importers(y)}
    simulation = {"loadtests.simulate.fleet", "loadtests.simulate.replica"}
    assert {x for x in found if is_in(x, ["loadtests"])} == simulation


@pytest.mark.parametrize("library", MAY_BE_IMPORTED_BY)
def test_library_is_imported_where_it_may_be(graph, library):
    importers = graph.find_modules_that_directly_import(library)
    assert importers, "the list is out of date"
    assert {x for x in importers if not is_in(x, MAY_BE_IMPORTED_BY[library])} == set()


@pytest.mark.parametrize("module", PURE)
def test_policy_imports_nothing_that_does(graph, module):
    own = graph.find_modules_directly_imported_by(module)
    assert {x for x in own if is_in(x, ["server"])} <= set(PURE[module])
    assert not own & {"socket", "threading", "onnxruntime", "gevent", "flask", "time"}

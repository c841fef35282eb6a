"""The export from end to end: check, convert, compare, write."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from export.config import ExportConfig
from export.contents import MODEL_FILE, write_contents
from export.convert import convert, write_onnx
from export.errors import ParityFailed
from export.head import add_head
from export.parity import Report, check_parity
from export.probes import make_probes
from export.reference import load_reference
from export.rewrites import rewrite
from export.run import Run, read_run
from export.write import check_free, draft_of
from server.engine.session import choose_plans

Say = Callable[[str], None]


def export(config: ExportConfig, say: Say) -> Path:
    """Export ``config.run`` and return the bundle's directory; ``say`` gets a line a stage.

    Raises:
        ExportError: no bundle was written; the message says why and what to do.
    """
    run = read_run(config.run)
    check_free(config.target, config.force)
    with tempfile.TemporaryDirectory(prefix="carfront-export-") as scratch:
        model = Path(scratch) / MODEL_FILE
        with _stage("convert to ONNX", say):
            floats = convert(run.saved_model, Path(scratch), run.latent_dim, run.image_shape)
            write_onnx(add_head(rewrite(floats)), model)
        with _stage("compare with TensorFlow", say):
            report = _compare(model, run)
        say("\n" + report.table() + "\n")
        if report.misses:
            raise ParityFailed(report.misses)
        with _stage("write the bundle", say), draft_of(config.target, config.force) as draft:
            write_contents(draft, model, report, run, config)
    return config.target


def _compare(model: Path, run: Run) -> Report:
    reference = load_reference(run.saved_model)
    threads = len(os.sched_getaffinity(0))
    return check_parity(model, reference, make_probes(run.latent_dim), choose_plans(), threads)


@contextmanager
def _stage(name: str, say: Say) -> Iterator[None]:
    started = time.monotonic()
    yield
    say(f"{name:24}{time.monotonic() - started:6.1f} s")

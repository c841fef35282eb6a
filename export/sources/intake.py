"""The way in: a source is recognised, and one from elsewhere becomes a ``Run`` in a process apart.

Keras runs in that process only: the file's layers, and what they import, cannot reach the export.
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from export.config import SourceOptions
from export.errors import SourceRefused
from export.lineage import installed, saved_model_digest
from export.run import Run, read_run
from export.sources.formats import SAVE_IT, ModelFile, model_file
from export.sources.stored_code import check_stored_code
from server.bundle.files import file_facts

ASKED, FOUND = "asked.json", "found.json"
"""The files by which the two processes speak."""
ROOT = Path(__file__).parents[2]
LAST_LINES = 6
"""The number of lines that are shown of a process that failed."""

Source = Run | ModelFile


def open_source(path: Path, options: SourceOptions) -> Source:
    """Return the run in the directory ``path``, or the model that is there, checked without Keras.

    Raises:
        RunIncomplete, SourceRefused: nothing there can be exported; the message says what to do.
    """
    if not path.exists():
        raise SourceRefused(
            f"{path} does not exist; give a .keras or .h5 file, a SavedModel, or a run directory "
            f"(train first: python -m training --out {path})"
        )
    if (path / "run.json").exists() or (path / "saved_model").exists():
        if options != SourceOptions():
            raise SourceRefused(
                f"{path} is a run directory, whose run.json says all: leave out --range, "
                "--latents, --layout, --custom, --unsafe and the options on classes, or give its "
                "saved_model/ instead"
            )
        return read_run(path)
    file = model_file(path)
    check_stored_code(file, options)
    if file.reader == "tf_keras" and importlib.util.find_spec("tf_keras") is None:
        minor = ".".join((installed("tensorflow") or "").split(".")[:2])
        raise SourceRefused(
            f"{path} was written by Keras {file.keras_version or '2'}, which the library tf_keras "
            f'reads: {sys.executable} -m pip install --no-deps "tf-keras=={minor}.*"'
        )
    return file


def take_in(source: Source, options: SourceOptions, scratch: Path) -> Run:
    """Return ``source`` as a run, its SavedModel in ``scratch`` if it had none of the right form.

    Raises:
        SourceRefused: it is no generator that can be served; the message says what to change.
    """
    if isinstance(source, Run):
        return source
    folder = scratch / "source"
    folder.mkdir()
    if source.suffix:  # Keras knows a format by its suffix, which may be another one here
        (folder / f"model{source.suffix}").symlink_to(source.path.resolve())
    asked = asdict(options) | {
        "path": str(source.path),
        "reader": source.reader,
        "model": str(folder / f"model{source.suffix}" if source.suffix else source.path.resolve()),
        "imports": str(Path.cwd()),
    }
    (folder / ASKED).write_text(json.dumps(asked))
    _run_reader(source, folder)
    found = json.loads((folder / FOUND).read_text())
    if "refused" in found:
        raise SourceRefused(found["refused"])
    height, width, channels = found["image_shape"]
    low, high = found["image_range"]
    return Run(
        folder / "saved_model",
        found["latent_dim"],
        (height, width, channels),
        (low, high),
        lineage={},
        distribution=options.latents or "normal",
        classes=options.class_names or tuple(map(str, range(found["class_count"]))),
        source=_facts(source, found),
    )


def source_size(source: Source) -> int:
    """Return the bytes of the weights of ``source``, and of what else is in its files."""
    path = source.saved_model if isinstance(source, Run) else source.path
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _run_reader(source: ModelFile, folder: Path) -> None:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    if source.reader == "tf_keras":
        quiet["TF_USE_LEGACY_KERAS"] = "1"  # custom classes may import tf.keras
    command = [sys.executable, "-m", "export.sources.read", str(folder.resolve())]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | quiet,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if not (folder / FOUND).is_file():
        last = "\n".join(done.stdout.splitlines()[-LAST_LINES:])
        raise SourceRefused(
            f"{source.path} cannot be read (exit status {done.returncode}); {SAVE_IT}, or mend "
            f"what these lines name:\n{last}"
        )


def _facts(source: ModelFile, found: dict[str, object]) -> dict[str, object]:
    """Return what the lineage holds of ``source``."""
    single = source.path.is_file()
    return {
        "file": source.path.resolve().name,
        "sha256": file_facts(source.path).sha256 if single else saved_model_digest(source.path),
        "size": source_size(source),
        "keras_version": source.keras_version or None,
        "reader": source.reader,
        "signature": found["signature"],
        **({"class_is": found["class_is"]} if found["class_count"] else {}),
    }

"""The runtime directory, as it is when a server starts."""

import shutil
from pathlib import Path

from server.bundle.files import Bundle
from server.config import ServerConfig
from server.ipc.atomic_file import make_folder
from server.ipc.catalog import LOADING, Catalog, Entry, facts_of


def prepare(config: ServerConfig, bundle: Bundle) -> Path:
    """Make the folders of the runtime directory, those of metrics and processes empty.

    The catalogs tell the HTTP workers that ``bundle`` will be served, until the engines say what
    is. Return the folder of the metrics.

    Raises:
        OSError: a folder or a file cannot be made there.
        ConfigError: the runtime directory is not set.
    """
    for engine_dir in config.engine_dirs:
        engine_dir.prepare()
    _announce(config, bundle)
    metrics = config.processes_path.with_name("metrics")
    for folder in (metrics, config.processes_path):
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
    return metrics


def _announce(config: ServerConfig, bundle: Bundle) -> None:
    manifest = bundle.manifest
    entry = Entry(manifest.name, manifest.version, LOADING, "", bundle.key, facts_of(manifest))
    newest = {manifest.name: manifest.version}
    for engine_dir in config.engine_dirs:
        Catalog(str(entry), {str(entry): entry}, (), newest).write(engine_dir.catalog)

"""What the Open Inference Protocol v2 tells of the server and its models, as JSON has it.

Source: the protocol, and Triton's extensions for model configuration and statistics.
"""

from typing import Any

from server.api.oip_classes import CLASS, INT64
from server.api.oip_tensors import FP32, IMAGES, LATENTS, UINT8
from server.bundle.manifest import Manifest
from server.ipc.catalog import Catalog, Entry
from server.observability.inference_statistics import ModelStatistics, Step

SERVER_NAME, SERVER_VERSION = "carfront", "0.2.0"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics")
"""The extensions that every caller may use: clients rely on those that are listed."""

Document = dict[str, Any]


def server_metadata() -> Document:
    """Return what the server is."""
    return {"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS}


def versions_of(catalog: Catalog, name: str) -> list[str]:
    """Return the versions of the model ``name`` that are served, the oldest first."""
    served = [x.version for x in catalog.entries.values() if x.name == name and x.manifest]
    return sorted(served, key=int)


def model_metadata(name: str, versions: list[str], manifest: Manifest) -> Document:
    """Return which tensors a model takes and gives; -1 stands for the number of rows.

    A class may be left out, which the configuration says.

    Clients ask for every output that is listed, and so only that of the served graph is.
    """
    inputs = [{"name": LATENTS, "datatype": FP32, "shape": [-1, manifest.latents.dim]}]
    if manifest.classes:
        inputs.append({"name": CLASS, "datatype": INT64, "shape": [-1, 1]})
    images = {"name": IMAGES, "datatype": UINT8, "shape": [-1, *manifest.image.shape]}
    return {
        "name": name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": [images],
    }


def model_config(name: str, most_rows: int, manifest: Manifest, key: int) -> Document:
    """Return a model's configuration as Triton has it: sizes are without the batch.

    The parameters are ours: what data sets keep of a model. ``key`` is the bundle's.
    """
    inputs: list[Document] = [
        {"name": LATENTS, "data_type": f"TYPE_{FP32}", "dims": [manifest.latents.dim]}
    ]
    if manifest.classes:
        of_class = {"name": CLASS, "data_type": f"TYPE_{INT64}", "dims": [1], "optional": True}
        inputs.append(of_class)
    images = {"name": IMAGES, "data_type": f"TYPE_{UINT8}", "dims": manifest.image.shape}
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": most_rows,
        "input": inputs,
        "output": [images],
        "dynamic_batching": {"preferred_batch_size": [], "max_queue_delay_microseconds": 0},
        "parameters": {
            "bundle": {"string_value": f"{key:016x}"},
            "seed_rule": {"string_value": str(manifest.latents.rule)},
        },
    }


def statistics_of(entry: Entry, found: ModelStatistics) -> Document:
    """Return what a model has done, as Triton has it."""
    return {
        "name": entry.name,
        "version": entry.version,
        "last_inference": int(found.last_at * 1000),
        "inference_count": found.images,
        "execution_count": found.batches,
        "inference_stats": {
            "success": _duration(found.success),
            "fail": _duration(found.fail),
            "queue": _duration(found.queue),
            "compute_input": _duration(found.compute_input),
            "compute_infer": _duration(found.compute_infer),
            "compute_output": _duration(found.compute_output),
            "cache_hit": _duration(Step()),
            "cache_miss": _duration(Step()),
        },
        "batch_stats": [],
        "memory_usage": [],
    }


def _duration(step: Step) -> Document:
    return {"count": step.count, "ns": int(step.seconds * 1e9)}

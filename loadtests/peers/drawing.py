"""What all peers do alike: the session on the graph, the latents, and the PNGs.

The graph, the runtime and the number of threads are those of our server. The latents are standard
normal numbers from the seed, but not the same ones.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

GRAPH = Path("models/cars-dcgan/2/generator.onnx")
LATENT_DIM = 100


def opened() -> Any:
    """Return a session on OpenVINO in bfloat16 if it is built in, else on the CPU provider.

    The session has run every batch size that is a power of two up to 64, and is warm.
    """
    session = _opened()
    for rows in (1, 2, 4, 8, 16, 32, 64):
        run(session, np.zeros((rows, LATENT_DIM), np.float32))
    return session


def _opened() -> Any:
    options = ort.SessionOptions()
    threads = len(os.sched_getaffinity(0))
    if "OpenVINOExecutionProvider" not in ort.get_available_providers():
        options.intra_op_num_threads = threads
        return ort.InferenceSession(str(GRAPH), options, providers=["CPUExecutionProvider"])
    options.intra_op_num_threads = 1
    cpu = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": str(threads)}
    settings = {"device_type": "CPU", "load_config": json.dumps({"CPU": cpu})}
    provider = ("OpenVINOExecutionProvider", settings)
    return ort.InferenceSession(str(GRAPH), options, providers=[provider])


def run(session: Any, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the images of ``latents``: float32 [n, latent_dim] to uint8 [n, H, W, C]."""
    images: NDArray[np.uint8] = session.run(None, {session.get_inputs()[0].name: latents})[0]
    return images


def latents_of(seed: int) -> NDArray[np.float32]:
    """Return latents of ``seed``: float32 [latent_dim], standard normal."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return generator.standard_normal(LATENT_DIM, np.float32)


def png(image: NDArray[np.uint8]) -> bytes:
    """Return ``image``, uint8 [H, W, 3], as a PNG whose pixels are stored, not compressed."""
    height, width, _ = image.shape
    lines = np.zeros((height, 1 + width * 3), np.uint8)
    lines[:, 1:] = image.reshape(height, -1)
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in chunks
    )

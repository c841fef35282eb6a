"""What all peers do alike: the session on the graph, the latents, and what is sent of the images.

The graph, the runtime, its provider and precision, and the number of threads are those of our
server. The latents of a seed are standard normal numbers, but not the same ones; latents that a
request brings are drawn as they are.
"""

import io
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

BUNDLE = Path(__file__).resolve().parents[2] / "models" / "cars-dcgan" / "2"
GRAPH = BUNDLE / "generator.onnx"
LATENT_DIM = 100
MAX_BATCH_SIZE = 64
"""The images that one run draws at most: with more, no processor draws more of them a second."""
PROCESSORS = Path("/proc/cpuinfo")
"""The file with what the kernel knows of the processors. Source: proc_cpuinfo(5)."""


def opened(threads: int | None = None) -> Any:
    """Return a session on the bundle's graph, by the plan that our server has on this processor.

    The session uses as many ``threads`` as there are processors unless told otherwise, has run
    every batch size that is a power of two up to 64, and is warm.
    """
    session = session_on(str(GRAPH), threads)
    for rows in (1, 2, 4, 8, 16, 32, 64):
        run(session, np.zeros((rows, LATENT_DIM), np.float32))
    return session


def session_on(graph: str | bytes, threads: int | None = None) -> Any:
    """Return a session on a graph, a file or its bytes, with the peers' provider and threads."""
    threads = threads or len(os.sched_getaffinity(0))
    options = ort.SessionOptions()
    provider, precision = plan().split()
    if provider == "cpu":
        options.intra_op_num_threads = threads
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    options.intra_op_num_threads = 1
    cpu = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": str(threads)}
    settings = {"device_type": "CPU", "load_config": json.dumps({"CPU": cpu})}
    openvino = ("OpenVINOExecutionProvider", settings)
    return ort.InferenceSession(graph, options, providers=[openvino])


def plan() -> str:
    """Return the provider and precision that are fastest on this processor, as our server has them.

    OpenVINO is asked for bfloat16 only where the processor multiplies in it: with AVX-512 alone it
    imitates that, and draws a fifth of the images (Ice Lake).
    """
    if "OpenVINOExecutionProvider" not in ort.get_available_providers():
        return "cpu f32"
    known = PROCESSORS.read_text() if PROCESSORS.exists() else ""
    if "amx_bf16" in known or "avx512_bf16" in known:
        return "openvino bf16"
    return "openvino f32" if "GenuineIntel" in known else "cpu f32"


def run(session: Any, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the images of ``latents``: float32 [n, latent_dim] to uint8 [n, H, W, C]."""
    images: NDArray[np.uint8] = session.run(None, {session.get_inputs()[0].name: latents})[0]
    return images


def drawn_together(session: Any, parts: Sequence[NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
    """Return the images of each request, all of them drawn as one batch.

    Servers that count requests, not images, hand over more than 64 images: 64 are drawn at a time.
    """
    latents = np.concatenate(parts)
    starts = range(0, len(latents), MAX_BATCH_SIZE)
    images = [run(session, latents[i : i + MAX_BATCH_SIZE]) for i in starts]
    return np.split(np.concatenate(images), np.cumsum([len(part) for part in parts])[:-1])


def exact_images(latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the images that ONNX Runtime's own provider draws in float32: uint8 [n, H, W, C]."""
    return run(ort.InferenceSession(str(GRAPH), providers=["CPUExecutionProvider"]), latents)


def latents_wanted(wanted: dict[str, Any]) -> NDArray[np.float32]:
    """Return the latents of a request's document: float32 [n, latent_dim].

    It has ``latents``, or ``seed`` and ``n``.
    """
    if "latents" in wanted:
        return np.asarray(wanted["latents"], np.float32)
    return np.stack([latents_of(wanted["seed"] + i) for i in range(wanted["n"])])


def latents_of(seed: int) -> NDArray[np.float32]:
    """Return latents of ``seed``: float32 [latent_dim], standard normal."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return generator.standard_normal(LATENT_DIM, np.float32)


def body_of(images: NDArray[np.uint8]) -> bytes:
    """Return one image as PNG, several as an npy file; ``images`` is uint8 [n, H, W, C]."""
    return png(images[0]) if len(images) == 1 else npy(images)


def npy(images: NDArray[np.uint8]) -> bytes:
    """Return ``images``, uint8 [n, H, W, C], as an npy file."""
    file = io.BytesIO()
    np.save(file, images)
    return file.getvalue()


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

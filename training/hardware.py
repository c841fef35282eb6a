"""The hardware: its fast precision, its GPUs, and the memory that was used."""

import resource
import signal
import sys
from pathlib import Path

import tensorflow as tf


def choose_policy(precision: str) -> str:
    """Return the Keras dtype policy: bfloat16 where the processor or GPU multiplies in it."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        major, _ = tf.config.experimental.get_device_details(gpus[0]).get(
            "compute_capability", (0, 0)
        )
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major == 7 else "float32"
    flags = Path("/proc/cpuinfo")
    known = flags.read_text() if flags.exists() else ""
    return "mixed_bfloat16" if "amx_bf16" in known or "avx512_bf16" in known else "float32"


def choose_strategy(name: str) -> tf.distribute.Strategy:
    """Return the strategy called ``name``: all GPUs for ``mirrored``, else TensorFlow's default.

    A machine without a GPU mirrors over its logical CPU devices. ``multi-worker`` waits until all
    workers that the variable ``TF_CONFIG`` names are there.

    Raises:
        OSError: this worker cannot listen at its address.
    """
    if name == "multi-worker":
        return _multi_worker()
    if name != "mirrored":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker() -> tf.distribute.Strategy:
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python hears nothing while it waits
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.UnknownError as error:
        raise OSError(
            f"this worker cannot listen at its address in TF_CONFIG: {error.message}"
        ) from error
    finally:
        signal.signal(signal.SIGINT, handler)


def peak_memory() -> int:
    """Return the peak memory in bytes, of the GPU if there is one, else of the process."""
    if tf.config.list_logical_devices("GPU"):
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

"""The same generator in PyTorch and TensorFlow, on the same device, with weights of no meaning."""

import time
from collections.abc import Callable
from typing import Any

ROWS = (1, 64, 1024)
LATENT_DIM = 100


def pytorch(on_gpu: bool, seconds: float) -> dict[str, float]:
    """Return images a second by batch size, eager, from latents to bytes in the host's memory."""
    import torch
    from torch import nn

    def up(inputs: int) -> list[Any]:
        layer = nn.ConvTranspose2d(inputs, 128, 4, 2, 1)
        return [layer, nn.BatchNorm2d(128), nn.LeakyReLU(0.2)]

    body = [nn.Linear(LATENT_DIM, 4096), nn.LeakyReLU(0.2), nn.Unflatten(1, (256, 4, 4))]
    body += [*up(256), *up(128), *up(128), nn.Conv2d(128, 3, 3, padding=1), nn.Tanh()]
    device, kind = ("cuda", torch.float16) if on_gpu else ("cpu", torch.float32)
    model = nn.Sequential(*body).to(device, kind, memory_format=torch.channels_last).eval()

    def draw(rows: int) -> Callable[[], Any]:
        batch = torch.randn(rows, LATENT_DIM)

        def run() -> Any:
            images = model(batch.to(device, kind))
            levels = ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
            return levels.permute(0, 2, 3, 1).cpu()

        return run

    with torch.inference_mode():
        return {str(rows): _rate(draw(rows), rows, seconds) for rows in ROWS}


def tensorflow(on_gpu: bool, seconds: float) -> dict[str, float]:
    """Return images a second by batch size, in one traced function, from latents to bytes."""
    import tensorflow as tf
    from keras import Sequential, layers

    kind = "float16" if on_gpu else "float32"
    if on_gpu and not tf.config.list_physical_devices("GPU"):
        raise RuntimeError("this TensorFlow sees no GPU")

    def up() -> list[Any]:
        layer = layers.Conv2DTranspose(128, 4, 2, "same", dtype=kind)
        return [layer, layers.BatchNormalization(dtype=kind), layers.LeakyReLU(0.2, dtype=kind)]

    head = [layers.Dense(4096, dtype=kind), layers.LeakyReLU(0.2, dtype=kind)]
    body = [*head, layers.Reshape((4, 4, 256), dtype=kind), *up(), *up(), *up()]
    model = Sequential([*body, layers.Conv2D(3, 3, padding="same", activation="tanh", dtype=kind)])

    @tf.function
    def bytes_of(latents: Any) -> Any:
        images = tf.cast(model(latents, training=False), tf.float32)
        return tf.cast(tf.clip_by_value(tf.round((images + 1) * 127.5), 0, 255), tf.uint8)

    def draw(rows: int) -> Callable[[], Any]:
        latents = tf.cast(tf.random.normal([rows, LATENT_DIM]), kind)
        return lambda: bytes_of(latents).numpy()

    return {str(rows): _rate(draw(rows), rows, seconds) for rows in ROWS}


def _rate(run: Callable[[], Any], rows: int, seconds: float) -> float:
    for _ in range(3):
        run()
    runs, began = 0, time.perf_counter()
    while not runs or time.perf_counter() < began + seconds:
        run()
        runs += 1
    return round(rows * runs / (time.perf_counter() - began), 1)

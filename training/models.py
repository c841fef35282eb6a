"""The two networks of the DCGAN: the generator draws images, the discriminator judges them.

Source: Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", with the kernel sizes and widths of this project.
"""

import keras
from keras import layers

from training.normalization import BatchNormalization

LATENT_DIM = 100
SMALLEST = 4
"""The pixels a side with which the generator starts and the discriminator ends."""
SLOPE = 0.2
"""The slope of LeakyReLU below zero."""


def stages(size: int) -> int:
    """Return how often 4x4 doubles until it is ``size`` x ``size``: 3 for 32, 4 for 64, 5 for 128.

    Raises:
        ValueError: ``size`` is not 8, 16, 32 and so on.
    """
    count = (size // SMALLEST).bit_length() - 1
    if count < 1 or SMALLEST << count != size:
        raise ValueError(f"size is {size}; wanted 8, 16, 32, 64 or another power of two")
    return count


def _narrow() -> keras.initializers.Initializer:
    """Return the paper's initial weights, N(0, 0.02).

    With Keras's own weights (Glorot uniform) the discriminator had won after three epochs, and the
    generator drew orange noise. With these weights the outlines of cars show after two epochs.
    """
    return keras.initializers.RandomNormal(0.0, 0.02)


def build_generator(policy: str = "float32", size: int = 32) -> keras.Sequential:
    """Return the generator: latents float32 [N, 100] to images float32 [N, size, size, 3].

    The images are in [-1, 1]; ``size`` is 4 times a power of two. The last layer stays in float32
    under a mixed ``policy``: its output is the image.
    """
    generator = keras.Sequential(name="generator")
    generator.add(keras.Input((LATENT_DIM,), name="latents"))
    generator.add(layers.Dense(4 * 4 * 256, kernel_initializer=_narrow(), dtype=policy))
    generator.add(layers.LeakyReLU(SLOPE, dtype=policy))
    generator.add(layers.Reshape((4, 4, 256), dtype=policy))
    for _ in range(stages(size)):  # 4x4 -> 8x8 -> 16x16 -> 32x32
        generator.add(
            layers.Conv2DTranspose(128, 4, 2, "same", kernel_initializer=_narrow(), dtype=policy)
        )
        generator.add(BatchNormalization(dtype=policy))
        generator.add(layers.LeakyReLU(SLOPE, dtype=policy))
    generator.add(
        layers.Conv2D(
            3, 3, padding="same", activation="tanh", kernel_initializer=_narrow(), dtype="float32"
        )
    )
    return generator


def build_discriminator(policy: str = "float32", size: int = 32, seed: int = 0) -> keras.Sequential:
    """Return the discriminator: images float32 [N, size, size, 3] to probabilities [N, 1].

    The probability is that of the image being real. ``seed`` is the seed of the dropout.
    """
    discriminator = keras.Sequential(name="discriminator")
    discriminator.add(keras.Input((size, size, 3), name="images"))
    # 32x32 -> 32x32 -> 16x16 -> 8x8 -> 4x4
    halving = [(128, 4, 2)] * (stages(size) - 1)
    for filters, kernel, stride in ((64, 3, 1), *halving, (256, 4, 2)):
        discriminator.add(
            layers.Conv2D(
                filters, kernel, stride, "same", kernel_initializer=_narrow(), dtype=policy
            )
        )
        discriminator.add(BatchNormalization(dtype=policy))
        discriminator.add(layers.LeakyReLU(SLOPE, dtype=policy))
    discriminator.add(layers.Flatten(dtype=policy))
    discriminator.add(layers.Dropout(0.4, seed=seed, dtype=policy))
    discriminator.add(
        layers.Dense(1, activation="sigmoid", kernel_initializer=_narrow(), dtype="float32")
    )
    return discriminator

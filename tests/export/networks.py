"""Networks as other people's guides and repositories build them, narrow."""

import os
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from keras import layers

WIDTH = 16
"""The channels of every network here, where the originals have 64 to 512."""


def celeba_dcgan() -> keras.Model:
    """DCGAN for faces, a guide of keras.io: 64x64, a sigmoid."""
    x = z = keras.Input((24,))
    x = layers.Reshape((8, 8, WIDTH))(layers.Dense(8 * 8 * WIDTH)(x))
    for _ in range(3):
        x = layers.Conv2DTranspose(WIDTH, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    return keras.Model(z, layers.Conv2D(3, 5, padding="same", activation="sigmoid")(x))


def fashion_wgan_gp() -> keras.Model:
    """WGAN-GP for clothes, a guide of keras.io: 32x32 cropped to 28x28, grey."""
    x = z = keras.Input((24,))
    x = layers.BatchNormalization()(layers.Dense(4 * 4 * WIDTH, use_bias=False)(x))
    x = layers.Reshape((4, 4, WIDTH))(layers.LeakyReLU(0.2)(x))
    for _ in range(3):
        x = layers.Conv2D(WIDTH, 3, padding="same", use_bias=False)(layers.UpSampling2D()(x))
        x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
    x = layers.Conv2D(1, 3, padding="same", use_bias=False)(layers.Cropping2D((2, 2))(x))
    return keras.Model(z, layers.Activation("tanh")(layers.BatchNormalization()(x)))


def mnist_dcgan() -> keras.Model:
    """DCGAN for digits, a tutorial of TensorFlow: kernels that are no multiple of the stride."""
    x = z = keras.Input((24,))
    x = layers.BatchNormalization()(layers.Dense(7 * 7 * WIDTH, use_bias=False)(x))
    x = layers.Reshape((7, 7, WIDTH))(layers.LeakyReLU()(x))
    for stride in (1, 2):
        x = layers.Conv2DTranspose(WIDTH, 5, stride, "same", use_bias=False)(x)
        x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    last = layers.Conv2DTranspose(1, 5, 2, "same", use_bias=False, activation="tanh")
    return keras.Model(z, last(x))


def vae_decoder() -> keras.Model:
    """The decoder of a variational autoencoder for digits, a guide of keras.io: two latents."""
    x = z = keras.Input((2,))
    x = layers.Reshape((7, 7, WIDTH))(layers.Dense(7 * 7 * WIDTH, activation="relu")(x))
    for _ in range(2):
        x = layers.Conv2DTranspose(WIDTH, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(z, layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid")(x))


def of_convolutions_alone() -> keras.Model:
    """DCGAN as the paper and PyTorch's tutorial have it: latents [1, 1, n], no dense layer."""
    x = z = keras.Input((1, 1, 24))
    x = layers.Conv2DTranspose(WIDTH, 4, 1, "valid", use_bias=False)(x)
    for _ in range(3):
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2DTranspose(WIDTH, 4, 2, "same", use_bias=False)(x)
    return keras.Model(z, layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh")(x))


def residual() -> keras.Model:
    """Residual blocks that double the size, as in SNGAN and BigGAN."""
    x = z = keras.Input((24,))
    x = layers.Reshape((4, 4, WIDTH))(layers.Dense(4 * 4 * WIDTH)(x))
    for _ in range(3):
        skip = layers.Conv2D(WIDTH, 1)(layers.UpSampling2D()(x))
        x = layers.UpSampling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(WIDTH, 3, padding="same")(x)))
        x = layers.Add()([skip, layers.Conv2D(WIDTH, 3, padding="same")(x)])
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(z, layers.Conv2D(3, 3, padding="same", activation="tanh")(x))


def nested() -> keras.Model:
    """Blocks that are models of their own within a model, whose latents are rescaled first."""

    def block() -> keras.Model:
        up = layers.Conv2DTranspose(WIDTH, 4, 2, "same", use_bias=False)
        return keras.Sequential([up, layers.BatchNormalization(), layers.LeakyReLU()])

    z = keras.Input((24,))
    first = [layers.Rescaling(0.5), layers.Dense(4 * 4 * WIDTH), layers.Reshape((4, 4, WIDTH))]
    x = keras.Sequential([keras.Input((4, 4, WIDTH)), block(), block()])(
        keras.Sequential([keras.Input((24,)), *first])(z)
    )
    return keras.Model(z, layers.Conv2D(3, 3, padding="same", activation="sigmoid")(x))


def attention() -> keras.Model:
    """Attention, normalised weights and groups, and sizes by resizing, as in SAGAN and later."""
    x = z = keras.Input((24,))
    x = layers.Reshape((7, 7, WIDTH))(layers.Dense(7 * 7 * WIDTH)(x))
    flat = layers.Reshape((49, WIDTH))(x)
    flat = layers.MultiHeadAttention(2, 8)(flat, flat)
    x = layers.Add()([x, layers.Reshape((7, 7, WIDTH))(flat)])
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = layers.SpectralNormalization(layers.Conv2D(WIDTH, 3, padding="same"))(x)
    x = layers.PReLU(shared_axes=[1, 2])(layers.GroupNormalization(4)(x))
    x = layers.Resizing(28, 28)(layers.Dropout(0.3)(layers.GaussianNoise(0.1)(x)))
    return keras.Model(z, layers.Conv2D(1, 3, padding="same", activation="tanh")(x))


def conditional_gan() -> keras.Model:
    """Conditional GAN for digits, a guide of keras.io: ten classes within the latents."""
    x = z = keras.Input((24 + 10,))
    x = layers.LeakyReLU(negative_slope=0.2)(layers.Dense(7 * 7 * WIDTH)(x))
    x = layers.Reshape((7, 7, WIDTH))(x)
    for _ in range(2):
        x = layers.Conv2DTranspose(WIDTH, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    return keras.Model(z, layers.Conv2D(1, 7, padding="same", activation="sigmoid")(x))


def multiplied_embedding() -> keras.Model:
    """A conditional multilayer perceptron: latents times the Embedding of a whole number."""
    z, label = keras.Input((24,)), keras.Input((1,), dtype="int32")
    x = layers.Multiply()([z, layers.Flatten()(layers.Embedding(10, 24, "uniform")(label))])
    for _ in range(2):
        x = layers.LeakyReLU(0.2)(layers.Dense(4 * WIDTH)(x))
        x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.Dense(28 * 28, activation="tanh")(x)
    return keras.Model([z, label], layers.Reshape((28, 28, 1))(x))


def embedded_map() -> keras.Model:
    """A conditional DCGAN for clothes: the label, first and a float, as one more channel."""
    label, z = keras.Input((1,)), keras.Input((24,))
    of_class = layers.Dense(7 * 7)(layers.Embedding(10, 50, "uniform")(label))
    x = layers.LeakyReLU(0.2)(layers.Dense(7 * 7 * WIDTH)(z))
    parts = [layers.Reshape((7, 7, WIDTH))(x), layers.Reshape((7, 7, 1))(of_class)]
    x = layers.Concatenate()(parts)
    for _ in range(2):
        x = layers.LeakyReLU(0.2)(layers.Conv2DTranspose(WIDTH, 4, 2, "same")(x))
    return keras.Model([label, z], layers.Conv2D(1, 7, padding="same", activation="tanh")(x))


def one_hot_input() -> keras.Model:
    """An ACGAN in color, whose class is a vector in an input of its own."""
    z, label = keras.Input((24,), name="noise"), keras.Input((10,), name="label")
    x = layers.Dense(8 * 8 * WIDTH, activation="relu")(layers.Concatenate()([z, label]))
    x = layers.Reshape((8, 8, WIDTH))(x)
    for _ in range(2):
        x = layers.Conv2D(WIDTH, 3, padding="same", activation="relu")(layers.UpSampling2D()(x))
    return keras.Model([z, label], layers.Conv2D(3, 3, padding="same", activation="tanh")(x))


@dataclass(frozen=True)
class Network:
    """A network, and how it is kept and exported."""

    build: Callable[[], keras.Model]
    suffix: str = ".keras"
    """The suffix of its file; without one it is kept as a SavedModel."""
    options: tuple[str, ...] = ()
    """What the command line of the export says of it."""
    classes: int = 0
    low: float = -1.0
    """The least value of its images; the greatest is 1."""

    @property
    def name(self) -> str:
        """Its name, and that of its bundle."""
        return self.build.__name__


NETWORKS = {
    each.name: each
    for each in (
        Network(celeba_dcgan, low=0.0),
        Network(fashion_wgan_gp),
        Network(mnist_dcgan, ".h5"),
        Network(vae_decoder, "", low=0.0),
        Network(of_convolutions_alone, options=("--latents", "uniform")),
        Network(residual, ""),
        Network(nested, low=0.0),
        Network(attention, ""),
        Network(conditional_gan, options=("--classes", "10"), classes=10, low=0.0),
        Network(multiplied_embedding, ".h5", classes=10),
        Network(embedded_map, classes=10),
        Network(one_hot_input, "", classes=10),
    )
}

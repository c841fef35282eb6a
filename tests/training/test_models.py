"""The networks are exactly the ones that were agreed on, layer by layer."""

import numpy as np
import pytest

from training.models import build_discriminator, build_generator

STAGE = [
    (
        "Conv2DTranspose",
        {"filters": 128, "kernel_size": (4, 4), "strides": (2, 2), "padding": "same"},
    ),
    ("BatchNormalization", {}),
    ("LeakyReLU", {"negative_slope": 0.2}),
]
GENERATOR = [
    ("Dense", {"units": 4096}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("Reshape", {"target_shape": (4, 4, 256)}),
    *STAGE * 3,
    ("Conv2D", {"filters": 3, "kernel_size": (3, 3), "strides": (1, 1), "padding": "same"}),
]


def conv(filters, kernel, stride):
    sizes = {"kernel_size": (kernel, kernel), "strides": (stride, stride)}
    return [("Conv2D", {"filters": filters, "padding": "same", **sizes}), *STAGE[1:]]


DISCRIMINATOR = [
    *conv(64, 3, 1),
    *conv(128, 4, 2),
    *conv(128, 4, 2),
    *conv(256, 4, 2),
    ("Flatten", {}),
    ("Dropout", {"rate": 0.4}),
    ("Dense", {"units": 1}),
]


def matches(network, wanted):
    assert [type(layer).__name__ for layer in network.layers] == [name for name, _ in wanted]
    for layer, (_, settings) in zip(network.layers, wanted, strict=True):
        for name, value in settings.items():
            assert getattr(layer, name) == value, (layer.name, name)


def test_generator_is_the_agreed_one():
    generator = build_generator()
    matches(generator, GENERATOR)
    assert generator.count_params() == 1_467_651
    assert generator.input_shape == (None, 100)
    assert generator.output_shape == (None, 32, 32, 3)
    assert generator.layers[-1].activation.__name__ == "tanh"


def test_discriminator_is_the_agreed_one():
    discriminator = build_discriminator()
    matches(discriminator, DISCRIMINATOR)
    assert discriminator.count_params() == 926_209
    assert discriminator.input_shape == (None, 32, 32, 3)
    assert discriminator.output_shape == (None, 1)
    assert discriminator.layers[-1].activation.__name__ == "sigmoid"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_images_and_probabilities_are_float32_in_range(policy):
    latents = np.random.default_rng(0).standard_normal((4, 100)).astype(np.float32)
    images = np.asarray(build_generator(policy)(latents))
    judged = np.asarray(build_discriminator(policy)(images))
    assert images.dtype == judged.dtype == np.float32
    assert np.abs(images).max() <= 1
    assert ((judged > 0) & (judged < 1)).all()


def test_weights_start_as_narrow_as_the_paper_says():
    for network in (build_generator(), build_discriminator()):
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                assert np.std(np.asarray(layer.kernel)) == pytest.approx(0.02, rel=0.1)

"""Some networks of other people, from the file to the PNG; ``make networks`` has them all."""

import numpy as np
import pytest

from server.codecs.png import png_bytes
from tests.export.networks import NETWORKS
from tests.export.serve import check, is_of, main


@pytest.mark.servers
def test_networks_of_others_are_served_as_keras_draws_them(tmp_path):
    some = [NETWORKS["vae_decoder"], NETWORKS["multiplied_embedding"]]
    assert check(some, tmp_path) == 3 + 8


def test_png_is_that_of_an_image_only_if_every_byte_is():
    exact = np.random.default_rng(0).integers(1, 255, (4, 5, 3)) + 0.2
    image = np.rint(exact).astype(np.uint8)[None]
    assert is_of(png_bytes(image), exact)
    assert not is_of(png_bytes(image) + b"\0", exact)
    image[0, 1, 2, 0] += 1
    assert not is_of(png_bytes(image), exact)
    exact[1, 2, 0] += 0.295
    assert is_of(png_bytes(image), exact), "half a level may become either byte"
    image[0, 1, 2, 0] += 1
    assert not is_of(png_bytes(image), exact)


def test_network_that_nobody_built_is_told_which_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["stylegan"])
    assert "there is no network stylegan; there are celeba_dcgan, " in capsys.readouterr().err

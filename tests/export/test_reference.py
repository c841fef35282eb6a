import numpy as np
import pytest

from export.errors import ReferenceFailed
from export.reference import apart


def test_a_process_of_its_own_draws_the_same(run_dir, reference, probes):
    latents = probes[0].latents[:70]
    np.testing.assert_array_equal(apart(run_dir / "saved_model")(latents), reference(latents))


def test_images_of_a_sigmoid_come_out_from_minus_one_to_one(run_dir, reference, probes):
    latents = probes[0].latents[:3]
    drawn = apart(run_dir / "saved_model", (0.0, 1.0))(latents)
    np.testing.assert_allclose(drawn, 2 * reference(latents) - 1, rtol=0, atol=1e-6)


def test_a_saved_model_that_tensorflow_cannot_read_is_told(tmp_path):
    with pytest.raises(ReferenceFailed, match=r"cannot draw with .*none"):
        apart(tmp_path / "none")(np.zeros((1, 100), np.float32))

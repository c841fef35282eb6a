"""Networks of other people, from the file to the PNG: ``python -m tests.export.serve [NAME ...]``.

Each is saved, exported by the command line, and served beside the others by one server. Every PNG
is compared with the one that Keras's own image makes.
"""

import argparse
import subprocess
import sys
import tempfile
import urllib.request
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from server.bundle.latents import latents
from server.codecs.png import png_bytes
from tests.export.networks import NETWORKS, Network
from tests.servers import PYTHON, serving

GAIN = 1.6
"""The factor of the weights: as they are initialised, images are nearly one grey."""
SEEDS = (0, 7, 2**64 - 1)
NEAR = 0.01
"""How near to a rounding boundary, in grey levels, a value may become either byte."""


def built(network: Network) -> keras.Model:
    """Return the network with weights whose images differ, the same in every run."""
    keras.utils.set_random_seed(3)
    model, rng = network.build(), np.random.default_rng(1)
    more = [rng.uniform(0, 0.2, w.shape).astype(w.dtype) for w in model.get_weights()]
    weights = zip(model.get_weights(), more, strict=True)
    model.set_weights([w * GAIN if w.ndim > 1 else w + bias for w, bias in weights])
    return model


def exported(network: Network, folder: Path) -> keras.Model:
    """Save and export ``network`` into the model repository ``folder``, and return it."""
    model, path = built(network), folder / "files" / f"{network.name}{network.suffix}"
    path.parent.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy deprecates what Keras saves with
        model.save(path) if network.suffix else model.export(str(path), verbose=False)
    command = [sys.executable, "-m", "tests.small_export", str(path), *network.options]
    command += ["--name", network.name, "--models", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{network.name} is not exported: {done.stderr}{done.stdout}")
    return model


def levels(network: Network, model: keras.Model, seed: int, number: int) -> NDArray[np.float64]:
    """Return the image of ``seed`` by Keras, in grey levels that are not rounded yet."""
    distribution = "uniform" if "uniform" in network.options else "normal"
    one_hot = np.eye(max(network.classes, 1), dtype=np.float32)[[number]]
    sizes = {1: np.array([[number]]), network.classes: one_hot}
    inputs: list[Any] = []
    for shape in (x.shape[1:] for x in model.inputs):
        size = int(np.prod(shape))
        beside = network.classes if len(model.inputs) == 1 else 0
        z = latents([seed], size - beside, distribution)
        whole = np.concatenate([z, one_hot], axis=1) if beside else z
        is_class = len(model.inputs) > 1 and size in sizes
        inputs.append(sizes[size] if is_class else whole.reshape(1, *shape))
    drawn = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return (np.asarray(drawn, np.float64)[0] - network.low) / (1 - network.low) * 255


def is_of(png: bytes, exact: NDArray[np.float64]) -> bool:
    """Return whether ``png`` is, byte by byte, the file of the image ``exact``, rounded.

    Where a value is next to a rounding boundary, either of its bytes is right.
    """
    pixels = np.asarray(Image.open(BytesIO(png)))
    served = pixels.reshape(exact.shape)
    wanted = np.rint(exact).astype(np.uint8)
    either = np.abs(exact - np.floor(exact) - 0.5) < NEAR
    beside = np.abs(served.astype(int) - wanted) <= 1
    return png == png_bytes(np.where(either & beside, served, wanted)[None])


def check(networks: list[Network], folder: Path) -> int:
    """Export and serve ``networks``, and return how many PNGs were compared.

    Raises:
        AssertionError: one is not that of Keras.
    """
    models = {network.name: exported(network, folder) for network in networks}
    settings = {
        "CARFRONT_MODELS": str(folder),
        "CARFRONT_MODEL": networks[0].name,
        "CARFRONT_SERVE": "all",
        "CARFRONT_PROVIDER": "cpu",
    }
    compared = 0
    with serving(PYTHON, settings) as server:
        for network in networks:
            for seed in SEEDS:
                for number in {0, seed % 10, 9} if network.classes else {0}:
                    url = f"{server.url}/v1/models/{network.name}/versions/1/images/{seed}.png"
                    url += f"?class={number}" if network.classes else ""
                    with urllib.request.urlopen(url) as response:
                        png = response.read()
                    exact = levels(network, models[network.name], seed, number)
                    assert exact.std() > 3, f"{network.name} draws one grey"
                    assert is_of(png, exact), f"{url} is not what Keras draws"
                    compared += 1
            print(f"{network.name}: served as Keras draws it", flush=True)
    return compared


def main(argv: list[str] | None = None) -> int:
    """Check the networks on the command line, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.export.serve", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    names = parser.parse_args(argv).names or [*NETWORKS]
    if unknown := set(names) - set(NETWORKS):
        parser.error(f"there is no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    with tempfile.TemporaryDirectory(prefix="carfront-networks-") as folder:
        compared = check([NETWORKS[name] for name in names], Path(folder))
    print(f"{compared} PNGs of {len(names)} networks are those of Keras, byte by byte")
    return 0


if __name__ == "__main__":
    sys.exit(main())

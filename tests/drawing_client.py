"""A client of engines that draws noise by itself, and counts how often."""

from dataclasses import replace

import numpy as np
from tests_engine import manifest

from server.bundle.manifest import ImageFacts
from server.bundle.manifest_values import COLORS
from server.errors import ModelGone
from server.ipc.catalog import READY, Catalog, Entry
from server.worker.generated import Generated
from server.worker.model_fit import classes

HEIGHT, WIDTH = 5, 6


def noise(seeds, channels=3):
    """The images of ``seeds``, uint8 [n, 5, 6, channels]."""
    shape = HEIGHT, WIDTH, channels
    return np.stack([np.random.default_rng(x).integers(0, 256, shape, np.uint8) for x in seeds])


class DrawingClient:
    """Stand in for an ``EngineClient`` whose one model, tiny/1, draws ``noise``.

    ``plans`` are those of the engines that answer; the first one draws.
    """

    def __init__(self, channels=3):
        facts = ImageFacts([HEIGHT, WIDTH, channels], "uint8", [0, 255], COLORS[channels])
        self.model = Entry("tiny", "1", READY, "", 7, replace(manifest(), image=facts), "cpu/f32")
        self.plans = ["cpu/f32"]
        self.drawn = []
        """The source of each request for which images were drawn."""
        self.named = None
        """The class of the request for which images were drawn last."""
        self.threads = 0
        """How often something was done in a thread."""
        self.loop = self

    @property
    def catalog(self):
        return Catalog("tiny/1", {"tiny/1": self.model}, (), {"tiny": "1"})

    @property
    def engines(self):
        return [bool(self.plans)]

    def find(self, name=None, version=None):
        return self.catalog.find(name, version)

    def plans_of(self, model):
        return self.plans

    def generate(self, source, terms, name=None, version=None, named=None, floats=False):
        return self.generate_with(self.find(name, version), source, terms, named)

    def generate_with(self, model, source, terms, named=None):
        if model != self.model:
            raise ModelGone(str(model))
        classes(named, model)
        self.drawn.append(source)
        self.named = named
        seeds = range(source.n) if source.seeds is None else source.seeds
        images = noise(seeds, model.manifest.image.shape[2])
        return Generated(images, 0.001, 0.002, model, self.plans[0], lambda: None)

    def in_thread(self, function, *args):
        self.threads += 1
        return function(*args)

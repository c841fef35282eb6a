"""Users of the server's own interface: single images, batches, and images that are kept."""

import random

from locust import task

from loadtests import answers
from loadtests.answers import Answer, WrongAnswer
from loadtests.load.users.caller import Caller

ROWS = range(16, 65)
KEPT_IMAGES = 8
"""The images that a cache keeps."""
STALE_SHARE = 0.1
"""How many of the entity tags that a cache sends are none of the image's."""


class SingleImage(Caller):
    """A user that asks for one image: half the seeds are popular ones, half are new."""

    weight = 12

    @task
    def image(self) -> None:
        """Ask for one image."""
        self.png("single image", self.draw_seed())


class Integrator(Caller):
    """A program that asks for 16 to 64 images as .npy files."""

    weight = 4

    @task
    def batch(self) -> None:
        """Ask for a batch; at times compare one of its images with the PNG of its own seed."""
        n = random.choice(ROWS)
        seed = self.draw_seed(n)
        row = random.choice((0, n - 1, random.randrange(n)))
        png = self.png("single image, to compare", seed + row) if self.looks() else None

        def check(answer: Answer) -> None:
            images = answers.check_npy(answer, n, self.facts.shape)
            answers.check_seed(answer, seed)
            self.goldens.check(answer, images, seed)
            self.remember(answer, seed, f"n {n}")
            if png:
                answers.check_row(images[row], png)

        body = {"n": n, "seed": seed, "format": "npy"}
        self.ask("16 to 64 as npy", "POST", "/v1/images", check, body)


class CacheHitter(Caller):
    """A cache that keeps popular images, and asks whether they are still the same."""

    weight = 4

    def on_start(self) -> None:
        """Begin with nothing."""
        super().on_start()
        self.kept: dict[int, tuple[str, bytes]] = {}
        """The entity tag and the bytes of each image."""

    @task
    def look_again(self) -> None:
        """Ask whether an image is still the same; get those that are not kept yet.

        A stale image makes room for another one: in time every popular image is drawn and checked.
        """
        if len(self.kept) < KEPT_IMAGES:
            self.get(random.choice(self.popular), "image to cache", "")
            return
        seed = random.choice(tuple(self.kept))
        if random.random() < STALE_SHARE:
            self.get(seed, "image to cache", '"of an earlier version"')
            self.kept.pop(seed)
        else:
            self.get(seed, "cached image", self.kept[seed][0])

    def get(self, seed: int, name: str, tag: str) -> None:
        """Ask for an image, unless ``tag`` is that of the one the server would draw."""

        def check(answer: Answer) -> None:
            answer.require_status(200, 304)
            found = answer.headers.get("etag", "")
            if answer.status == 200:
                body = answers.check_png(answer, 1, self.facts.shape)
                self.goldens.check(answer, answers.pixels(body)[None], seed)
                old_tag, old_body = self.kept.get(seed, ("", b""))
                if not found:
                    raise WrongAnswer("an image has no ETag")
                if found == old_tag and body != old_body:
                    raise WrongAnswer("an image has another image's ETag")
                self.kept[seed] = (found, body)
            elif found != tag or answer.body:
                raise WrongAnswer("a 304 has another ETag than was sent, or a body")

        fields = {"If-None-Match": tag} if tag else None
        path = f"/v1/images/{seed}.png"
        self.ask(name, "GET", path, check, accept="image/png", fields=fields)

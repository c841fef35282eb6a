"""Users of the page: sheets as they scroll, a few images large, and a film from one to another."""

from locust import task

from loadtests import answers
from loadtests.answers import Answer
from loadtests.load.checks import check_picture
from loadtests.load.users.caller import SEEDS, Caller

SIDE = 8
"""The rows and columns of a sheet, and how much larger an image is than it was drawn."""
FRAMES = 16


class PageVisitor(Caller):
    """A user that scrolls over the wall of images, opens some, and has two of them morph."""

    weight = 4

    def on_start(self) -> None:
        """Begin somewhere on the wall."""
        super().on_start()
        self.at = self.draw_seed(SIDE * SIDE)

    @task(12)
    def scroll(self) -> None:
        """Ask for the next sheet."""
        height, width, _ = self.facts.shape
        path = f"{self.facts.base}/grid.webp?seed={self.at}&rows={SIDE}&cols={SIDE}"
        seed, self.at = self.at, (self.at + SIDE * SIDE) % (SEEDS - SIDE * SIDE)

        def check(answer: Answer) -> None:
            check_picture(answer, "webp", (SIDE * width, SIDE * height))
            self.remember(answer, seed, "sheet")

        self.ask("sheet of 64", "GET", path, check, accept="image/webp,*/*")

    @task(3)
    def open(self) -> None:
        """Ask for an image large."""
        height, width, channels = self.facts.shape
        seed = self.draw_seed()

        def check(answer: Answer) -> None:
            body = answers.check_png(answer, 1, (SIDE * height, SIDE * width, channels))
            self.remember(answer, seed, "large")
            large = answers.pixels(body)
            small = large[::SIDE, ::SIDE]
            if (small.repeat(SIDE, axis=0).repeat(SIDE, axis=1) != large).any():
                raise answers.WrongAnswer("a pixel of a large image is no square")
            self.goldens.check(answer, small[None], seed)

        path = f"{self.facts.base}/images/{seed}.png?scale={SIDE}"
        self.ask("large image", "GET", path, check)

    @task(1)
    def morph(self) -> None:
        """Ask for the way from one image to another."""
        height, width, _ = self.facts.shape
        path = f"{self.facts.base}/morph.webp?from={self.draw_seed()}&to={self.draw_seed()}"

        def check(answer: Answer) -> None:
            check_picture(answer, "webp", (width, height), 2 * FRAMES - 2)  # there and back

        self.ask("morph", "GET", f"{path}&frames={FRAMES}", check)

"""Clients that ask a server without pause and compare every image with what it drew before."""

import io
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPException
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from tests.kept_connection import CameLate, KeptConnection
from tests.patience import PATIENCE_S

SEEDS = 4096
"""Images that are asked for: the seeds 0 to 4095."""
MOST = 512
"""Images of the largest requests, at most."""
QUEUE_S = 3.0
"""How long the largest requests of all callers together may take: nobody is refused for the load's
sake, also where a fault leaves half of the machine."""


class Client:
    """One keep-alive connection that is made anew when it breaks; ``lost`` is told how it broke."""

    def __init__(self, url: str, lost: Callable[[str], None] = lambda how: None) -> None:
        self._lost = lost
        self._connection = KeptConnection(urlsplit(url).netloc)

    def __del__(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> bytes:
        """Return a 200's body, asking again when the connection breaks.

        Raises:
            RuntimeError: the answer was another one.
        """
        data = json.dumps(body) if body else None
        headers = {"Content-Type": "application/json"} if body else {}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                response = self._connection.answer_to(method, path, data, headers)
                answer = response.read()
            except (OSError, HTTPException) as error:
                self._lost("late requests" if isinstance(error, CameLate) else "broken connections")
                self._connection.close()
                if time.monotonic() > deadline:
                    raise
                continue
            if response.status != 200:
                raise RuntimeError(f"{response.status} {answer[:200]!r}")
            return answer

    def png(self, seed: int) -> np.ndarray:
        """Return one image, asked for as a PNG."""
        return np.asarray(Image.open(io.BytesIO(self.ask("GET", f"/v1/images/{seed}.png"))))

    def npy(self, seed: int, n: int) -> np.ndarray:
        """Return ``n`` images, asked for as npy."""
        body = {"seed": seed, "n": n, "format": "npy"}
        return np.load(io.BytesIO(self.ask("POST", "/v1/images", body)))


def largest(images_per_s: float, clients: int) -> int:
    """Return how many images so many clients may ask for at once of a server that draws so fast."""
    return max(1, min(MOST, int(images_per_s * QUEUE_S / clients)))


class Clients:
    """Threads that ask and compare until they are told to stop.

    ``golden`` are the images of the seeds from 0 on; a request is for ``most`` of them at most.
    """

    def __init__(self, url: str, golden: np.ndarray, count: int, most: int = MOST) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self._slowest_s = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._url, self._golden = url, golden
        most = min(most, len(golden))
        self._sizes = (1, 1, 1, 1, 1, 1, max(1, most // 32), max(1, most // 8), most)
        self._answered = time.monotonic()
        self._lull_s = 0.0
        self._threads = [threading.Thread(target=self._loop, args=(k,)) for k in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all threads, after the answers they wait for."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def longest_lull_s(self) -> float:
        """Return the longest time in which nobody was answered, since this was asked last."""
        with self._lock:
            lull_s = self._measured_lull_s()
            self._lull_s = 0.0
            return lull_s

    def slowest_s(self) -> float:
        """Return how long the slowest request took, with all its tries, since this was asked."""
        with self._lock:
            slowest_s, self._slowest_s = self._slowest_s, 0.0
            return slowest_s

    def _measured_lull_s(self) -> float:
        """Return the longest lull, the one that may be going on too."""
        now = time.monotonic()
        lull_s = max(self._lull_s, now - self._answered)
        self._answered = now
        return lull_s

    def _loop(self, number: int) -> None:
        rng = random.Random(number)
        client = Client(self._url, self._count)
        while not self._stop.is_set():
            n = rng.choice(self._sizes)
            seed = rng.randrange(len(self._golden) - n + 1)
            began = time.monotonic()
            try:
                images = client.png(seed)[None] if n == 1 else client.npy(seed, n)
            except Exception as error:
                self._count("errors")
                self.errors.append(f"seed {seed}, n {n}: {error}")
                continue
            right = np.array_equal(images, self._golden[seed : seed + n])
            with self._lock:
                self._lull_s = self._measured_lull_s()
                self._slowest_s = max(self._slowest_s, time.monotonic() - began)
            self._count("requests")
            self._count("images", n)
            self._count("wrong answers", 0 if right else 1)

    def _count(self, what: str, more: int = 1) -> None:
        with self._lock:
            self.counts[what] += more

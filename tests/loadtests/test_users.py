"""Each kind of user against the real server: its answers pass, a wrong byte in them does not."""

import subprocess

import pytest

from loadtests.serving import ROOT
from tests.loadtests.fakes import LOADTEST_PYTHON
from tests.loadtests.locust_process import ANY_PACE, counts, row, start, stopped
from tests.loadtests.tampering import tampering
from tests.servers import LARGE_BATCHES, PYTHON, serving

pytestmark = pytest.mark.servers
ASKED = {
    "SingleImage": ["single image"],
    "PageVisitor": ["sheet of 64", "large image", "morph"],
    "Integrator": ["16 to 64 as npy", "single image, to compare"],
    "OIPClient": ["infer, binary"],
    "TFServingClient": ["predict"],
    "DataSetBuilder": ["4,096 as npy, streamed"],
    "CacheHitter": ["image to cache", "cached image"],
    "BadClient": ["bad request", "rubbish", "hang up", "slow reader"],
}
"""What each kind of user asks for."""
DRAWN = [kind for kind in ASKED if kind != "BadClient"]


CACHE = """
from loadtests.load.users.images import CacheHitter

class Cache(CacheHitter):
    def __init__(self):
        self.popular, self.kept, self.asked = range(70), {}, set()

    def get(self, seed, name, tag):
        self.asked.add(seed)
        self.kept[seed] = '"tag"', b""

cache = Cache()
for _ in range(20_000):
    cache.look_again()
print(len(cache.asked))
"""


@pytest.fixture(scope="module")
def url():
    with serving(PYTHON, LARGE_BATCHES) as server:
        yield server.url


class All:
    """Waits until each of several names has been seen in Locust's table."""

    def __init__(self, names):
        self.missing = {name: counts(name) for name in names}

    def __call__(self, line):
        self.missing = {name: seen for name, seen in self.missing.items() if not seen(line)}
        return not self.missing


@pytest.mark.parametrize("kind", ASKED)
def test_every_answer_of_the_real_server_is_right(url, kind):
    process = start("--host", url, "-u", "2", "--stop-timeout", "300", *ANY_PACE, kind)
    status, output = stopped(process, All(ASKED[kind]))
    assert status == 0, output
    for name in ASKED[kind]:
        good, *others = row(output, name)
        assert good >= 1
        assert others == [0, 0, 0]


@pytest.mark.parametrize("kind", DRAWN)
def test_a_wrong_byte_is_found(url, kind):
    with tampering(url) as tampered:
        process = start("--host", tampered, "-u", "2", "--stop-timeout", "300", kind)
        status, output = stopped(process, lambda line: "grey levels off the golden one" in line)
    assert status == 1, output
    assert "MISSED, by the SLO 'default': " in output
    assert "requests failed" in output


def test_a_cache_asks_in_time_for_every_popular_image():
    """The golden images are among them: a cache of others would find nothing wrong."""
    command = [LOADTEST_PYTHON, "-c", CACHE]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "70\n"

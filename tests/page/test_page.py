"""The page in a real Chromium, in front of a real server."""

import io
import os
import re
import signal
import subprocess
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.chaos.processes import family
from tests.page.chromium import HERE, install_packages
from tests.servers import PYTHON, get, serving, until
from tests.small_model import conditional_model_of

pytestmark = pytest.mark.servers

FORM = "v1/models/cars-dcgan/versions/2"
MOST_TILES = 600
"""The tiles that a wall may have at most, however far it was scrolled."""


def image_of(server, seed, query=""):
    """Return the image of ``seed`` as the server draws it, uint8 [height, width, 3]."""
    return np.load(io.BytesIO(get(f"{server.url}/v1/images/{seed}.npy{query}")))[0]


def shown(browser, selector):
    """Return what a canvas or a picture shows, uint8 [height, width, 3]; None if nothing yet."""
    values = browser.pixels(selector)
    side = int(np.sqrt(len(values) // 4))
    return np.array(values, np.uint8).reshape(side, side, 4)[:, :, :3] if values else None


def shows(browser, selector, image):
    found = shown(browser, selector)
    return found is not None and found.shape == image.shape and np.array_equal(found, image)


def is_like(found, image):
    """Tell whether two pictures are the same but for what WebP loses."""
    return np.abs(found.astype(int) - image).mean() < 12


def address(browser):
    """Return the address as the page has it; the browser itself may hear of it later."""
    return browser.run("return location.href")


def state(browser):
    return {k: v[0] for k, v in parse_qs(urlsplit(address(browser)).query).items()}


def test_types_in_the_pages_javascript_are_right():
    install_packages()
    command = ["node_modules/.bin/tsc", "--project", "jsconfig.json"]
    ended = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_wall_fills_to_two_thousand_cars_by_few_requests_and_stays_light(browser, server):
    browser.open(server.url)
    until(browser.filled)
    assert is_like(shown(browser, browser.tile(7) + " canvas"), image_of(server, 7))
    while browser.last_tile() < 2000:
        browser.run("scrollBy(0, innerHeight * 0.9)")
        until(browser.filled)
    tile = browser.tile(2000)
    assert is_like(shown(browser, tile + " canvas"), image_of(server, 2000))
    assert browser.run("return document.querySelectorAll('.tile').length") < MOST_TILES
    assert 2000 / 64 < len(browser.requests("grid.webp")) < 2 * 2000 / 64
    assert not browser.requests("/images/"), "single images by the wall"
    assert all("/versions/2/" in x for x in browser.requests("grid.webp"))


def test_live_strip_says_what_draws_how_fast(browser, server):
    browser.open(server.url)
    until(lambda: "on " in browser.text("#model"))
    assert browser.text("#model").startswith("cars-dcgan 2 on ")

    def figures():
        browser.run("scrollBy(0, innerHeight)")  # what is seen for the first time is drawn
        return browser.text("#figures")

    until(lambda: re.match(r"[1-9][0-9,]* images/s, \d+ waiting; p50 within \d", figures()))


def test_click_shows_a_car_large_and_sliders_change_it_and_the_link_shows_the_same(browser, server):
    browser.open(server.url)
    until(browser.filled)
    browser.click(browser.tile(7))
    until(lambda: shows(browser, "#car-image", image_of(server, 7)))
    assert browser.text("#car-title") == "Car 7"
    assert state(browser) == {"car": "7"}
    browser.slide("#sliders label:nth-child(4) input", 2.5)
    assert state(browser) == {"car": "7", "edit": "0,0,0,2.5,0,0,0"}
    until(lambda: "changed" in browser.run("return document.querySelector('#car-image').alt"))
    until(lambda: not shows(browser, "#car-image", image_of(server, 7)))
    changed = shown(browser, "#car-image")
    assert changed.shape == (32, 32, 3)
    link = browser.run("return document.querySelector('#link').value")
    assert link == address(browser)
    browser.open(link)
    until(lambda: shows(browser, "#car-image", changed))
    browser.click("#reset")
    until(lambda: shows(browser, "#car-image", image_of(server, 7)))
    browser.click("#car-after")
    until(lambda: shows(browser, "#car-image", image_of(server, 8)))


@pytest.mark.parametrize(
    ("form", "scale", "shape"),
    [("png", "8", (256, 256)), ("webp", "2", (64, 64)), ("npy", "1", None)],
)
def test_car_is_downloaded(browser, server, form, scale, shape):
    browser.open(f"{server.url}/?car=7")
    until(lambda: shown(browser, "#car-image") is not None)
    for name, value in (("format", form), ("scale", scale)):
        browser.run("document.getElementById(arguments[0]).value = arguments[1]", name, value)
    browser.click("#download")
    file = browser.downloads / f"car-7.{form}"
    until(lambda: file.exists() and file.stat().st_size)  # it may be kept free before it is whole
    if form == "npy":
        assert np.array_equal(np.load(file)[0], image_of(server, 7))
    else:
        with Image.open(file) as image:
            assert image.size == shape
            assert image.format == form.upper()


def test_two_picked_cars_morph_and_the_ends_are_the_cars(browser, server):
    browser.open(server.url)
    until(browser.filled)
    browser.click(browser.tile(3))
    until(lambda: shown(browser, "#car-image") is not None)
    browser.click("#pick")
    assert "Car 3 is picked" in browser.text("#picking-text")
    browser.click(browser.tile(5))
    until(
        lambda: browser.run("return document.querySelector('#morph-image').dataset.frame") == "16"
    )
    assert state(browser) == {"from": "3", "to": "5", "way": "0.5"}
    middle = shown(browser, "#morph-image")
    for way, seed in ((0, 3), (1, 5)):
        browser.slide("#way", way)
        until(lambda seed=seed: shows(browser, "#morph-image", image_of(server, seed)))
    browser.open(f"{server.url}/?from=3&to=5&way=0.5")
    until(lambda: shows(browser, "#morph-image", middle))
    assert len(browser.requests("/v1/images")) == 1, "one request for all of the slider"


def test_photograph_is_restored_while_one_looks_on(browser, server, tmp_path):
    photo = tmp_path / "car.png"
    photo.write_bytes(get(f"{server.url}/v1/images/7.png?scale=8"))
    browser.open(server.url)
    until(browser.filled)
    browser.click("#open-restore")
    browser.one("#photo-file").send_keys(str(photo))
    until(lambda: not browser.run("return document.querySelector('#restore-begin').disabled"))
    alpha = (
        "const context = new OffscreenCanvas(1, 1).getContext('2d');"
        "context.drawImage(document.querySelector('#photo'), -%d, -192);"
        "return context.getImageData(0, 0, 1, 1).data[3]"
    )
    assert browser.run(alpha % 300) == 255
    browser.run(
        "const canvas = document.querySelector('#photo'), box = canvas.getBoundingClientRect();"
        "canvas.setPointerCapture = () => {};"
        "canvas.dispatchEvent(new PointerEvent('pointerdown', {pointerId: 1, buttons: 1,"
        " clientX: box.left + box.width * 300 / 384, clientY: box.top + box.height / 2}))"
    )
    assert browser.run(alpha % 300) == 0, "what is painted over is hidden"
    browser.click("#show-all")
    assert browser.run(alpha % 300) == 255
    browser.click("#hide-half")
    assert browser.run(alpha % 300) == 0
    assert browser.barriers() == []
    browser.click("#restore-begin")
    until(lambda: browser.text("#restore-note").startswith("Step "))
    until(lambda: browser.run("return document.querySelector('#restored').dataset.done"))
    truth = image_of(server, 7).astype(int)
    until(lambda: is_like(shown(browser, "#restored")[:, :15], truth[:, :15]))
    assert "Step 150 of 150" in browser.text("#restore-note")
    browser.click("#restore-take")
    until(lambda: (browser.downloads / "restored.png").exists())


def test_file_that_is_no_picture_is_told_and_nothing_is_sent(browser, server, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    browser.open(server.url)
    until(browser.filled)
    browser.click("#open-restore")
    browser.one("#photo-file").send_keys(str(tmp_path / "notes.png"))
    until(lambda: "notes.png is no picture" in browser.text("#restore-note"))
    assert browser.run("return document.querySelector('#restore-begin').disabled")


def test_truncation_and_first_seed_redraw_the_wall_and_stand_in_the_address(browser, server):
    browser.open(f"{server.url}/?first=18446744073709551000&truncation=0.5")
    until(browser.filled)
    wanted = image_of(server, 18446744073709551001, "?truncation=0.5")
    assert is_like(shown(browser, browser.tile(1) + " canvas"), wanted)
    browser.slide("#truncation", 0.2)
    until(lambda: browser.requests("truncation=0.2"))
    until(browser.filled)
    assert state(browser) == {"first": "18446744073709551000", "truncation": "0.2"}
    end = 2**64 - 18446744073709551000
    browser.run("scrollTo(0, document.body.scrollHeight)")
    until(lambda: browser.run("return document.querySelector(arguments[0])", browser.tile(end - 1)))
    assert not browser.run("return document.querySelector(arguments[0])", browser.tile(end))


def test_class_is_chosen_for_a_model_that_has_classes(browser, tmp_path):
    """The classes of the model are shades of grey, from dark to light."""
    conditional_model_of(tmp_path, "cars-dcgan", ["dark", "<b> & 'light'"])
    with serving(PYTHON, {"CARFRONT_MODELS": str(tmp_path)}) as server:

        def mean_level(name):
            """Return the mean level of the newest sheet of that class that the page asked for."""
            asked = browser.run(
                "return performance.getEntriesByType('resource').map((x) => x.name)"
            )
            urls = [
                url
                for url in asked
                if "grid" in url and parse_qs(urlsplit(url).query).get("class") == [name]
            ]
            return urls and np.asarray(Image.open(io.BytesIO(get(urls[-1])))).mean()

        browser.open(server.url + "/?class=1")
        until(browser.filled)
        assert state(browser) == {"class": "1"}
        assert browser.run("return document.querySelector('#class').value") == "<b> & 'light'"
        light = until(lambda: mean_level("<b> & 'light'"))
        browser.run(
            "const select = document.querySelector('#class'); select.value = 'dark';"
            "select.dispatchEvent(new Event('change'))"
        )
        dark = until(lambda: mean_level("dark"))
        assert dark < light - 50
        until(browser.filled)
        assert state(browser) == {"class": "dark"}
        browser.driver.get("about:blank")  # before the server ends


def test_keyboard_moves_over_the_wall_opens_and_returns(browser, server):
    from selenium.webdriver.common.keys import Keys

    browser.open(server.url)
    until(browser.filled)
    browser.run("document.querySelector('.tile[tabindex=\"0\"]').focus()")
    places = browser.run(
        "return [...document.querySelectorAll('.tile')].map((x) => x.style.transform)"
    )
    columns = sum(place.endswith(", 0px)") for place in places)

    def press(*keys):
        browser.driver.switch_to.active_element.send_keys(*keys)

    press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    focused = "return document.activeElement.dataset.index"
    until(lambda: browser.run(focused) == str(2 + columns))
    press(*[Keys.ARROW_DOWN] * 30)
    until(lambda: browser.run(focused) == str(2 + 31 * columns))  # beyond what was in sight
    assert browser.run("return document.querySelectorAll('.tile[tabindex=\"0\"]').length") == 1
    press(Keys.ENTER)
    until(lambda: browser.text("#car-title") == f"Car {2 + 31 * columns}")
    press(Keys.ESCAPE)
    until(lambda: not browser.run("return document.querySelector('#car').open"))
    until(lambda: browser.run(focused) == str(2 + 31 * columns))
    until(browser.filled)


def test_page_goes_on_while_the_engine_is_killed(browser, server):
    browser.open(f"{server.url}/?first=5000")
    until(browser.filled)
    os.kill(family(server.pid)[1][0], signal.SIGKILL)
    browser.run("scrollBy(0, 3 * innerHeight)")
    until(lambda: browser.run("return scrollY > innerHeight"))
    browser.run("document.querySelector('#truncation').value = 0.9")
    browser.slide("#truncation", 0.9)
    until(lambda: browser.requests("truncation=0.9"))
    until(browser.filled)
    until(lambda: browser.run("return document.querySelector('#trouble').hidden"))
    until(lambda: get(f"{server.url}/v1/images/1.png"))


def test_server_that_is_away_or_full_is_told_and_the_wall_fills_when_it_is_back(browser, server):
    script = """
        window.broken = 'away';
        const real = window.fetch;
        window.fetch = async (path, options) => {
            if (window.broken === 'away') throw new TypeError('Failed to fetch');
            if (window.broken !== 'full') return real(path, options);
            const detail = '64 images are waiting (limit 64); retry in 0.3 s';
            return Response.json({detail}, {status: 503, headers: {'Retry-After': '0.3'}});
        };"""
    told = "return document.querySelector('#trouble').textContent"
    with browser.before_load(script):
        browser.driver.get(f"{server.url}/?first=9000")
        until(lambda: "The server does not answer. Trying again" in browser.run(told))
        browser.run("window.broken = 'full'")
        until(lambda: "64 images are waiting (limit 64)" in browser.run(told))
        assert browser.driver.find_element("id", "trouble").is_displayed()
        browser.run("window.broken = ''")
        until(browser.filled)
        assert browser.run("return document.querySelector('#trouble').hidden")


def test_key_is_asked_for_kept_for_the_tab_and_sent(browser, server):
    script = """
        const real = window.fetch;
        window.fetch = async (path, options) => {
            const key = new Headers(options?.headers).get('X-API-Key');
            if (key === 's3cret') return real(path, options);
            return Response.json({detail: 'the key is unknown'}, {status: 401});
        };"""
    with browser.before_load(script):
        browser.driver.get(server.url)
        until(lambda: browser.one("#key-form").is_displayed())
        browser.one("#key").send_keys("wrong\n")
        until(lambda: "the key is unknown" in browser.text("#key-note"))
        assert browser.one("#key").get_attribute("type") == "password"
        browser.one("#key").send_keys("s3cret\n")
        until(browser.filled)
        browser.open(server.url)
        until(browser.filled)
        assert not browser.one("#key-form").is_displayed()
        assert "s3cret" not in address(browser)
        browser.run("sessionStorage.clear()")


def test_phone_on_a_slow_line_gets_a_wall_that_fits(browser, server):
    browser.size(360, 740)
    browser.network(latency_ms=200)
    browser.open(server.url)
    until(browser.filled)
    browser.run("scrollBy(0, 4 * innerHeight)")
    until(browser.filled)
    for query in ("", "?car=7", "?from=7&to=9"):
        browser.open(f"{server.url}/{query}")
        until(browser.filled)
        script = "return [document.documentElement.scrollWidth, innerWidth]"
        assert browser.run(script) == [360, 360], query


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_bars_anybody_from_the_page(browser, server, theme):
    browser.theme(theme)
    for query, there in (
        ("", browser.filled),
        ("?car=7", browser.filled),
        ("?from=7&to=9", browser.filled),
    ):
        browser.open(f"{server.url}/{query}")
        until(there)
        assert browser.barriers() == [], query
    assert browser.run("return matchMedia('(prefers-color-scheme: dark)').matches") == (
        theme == "dark"
    )


def test_page_below_a_prefix_asks_below_it(browser, server, tmp_path):
    from tests.proxy.test_proxies import proxied

    with proxied("nginx", urlsplit(server.url).netloc, tmp_path) as place:
        browser.open(f"http://{place}/cars/?car=7")
        until(lambda: shown(browser, "#car-image") is not None)
        until(browser.filled)
        asked = browser.requests("/")
        assert asked
        assert all(urlsplit(x).path.startswith("/cars/") for x in asked)
        assert urlsplit(address(browser)).path == "/cars/"
        until(lambda: "not to be read" in browser.text("#figures"))
        browser.driver.get("about:blank")  # the page asks on, also when its proxy has gone
        assert any("403" in x for x in browser.faults()), "the proxy keeps the metrics to itself"

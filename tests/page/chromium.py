"""A Chromium without a window, and what tests of the page do with it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.servers import PATIENCE_S, until

HERE = Path(__file__).parent
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
    "--no-proxy-server",
)
"""Chromium's options: it runs as root in a container, and looks nobody up in the background."""


def install_packages() -> None:
    """Install the npm packages of the lock file beside this module, if they are not there."""
    if not AXE.exists():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=HERE, check=True, capture_output=True)


class Browser:
    """A browser with one page, and the ways in which a person uses it."""

    def __init__(self, driver: webdriver.Chrome, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def cdp(self, command: str, **parameters: object) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def open(self, url: str) -> None:
        """Open ``url`` and wait until the page knows what the server draws with."""
        self.driver.get(url)
        until(lambda: self.run("return document.body.dataset.ready"))

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def slide(self, selector: str, value: float) -> None:
        """Move the slider as a hand does."""
        self.run(
            "const slider = document.querySelector(arguments[0]); slider.value = arguments[1];"
            "slider.dispatchEvent(new Event('input', {bubbles: true}))",
            selector,
            value,
        )

    def tile(self, index: int) -> str:
        """Return the selector of the wall's car ``index``."""
        return f'.tile[data-index="{index}"]'

    def waiting(self) -> int:
        """Return how many tiles have no picture yet, or -1 where there are no tiles."""
        script = """
            const tiles = document.querySelectorAll('.tile');
            return tiles.length ? document.querySelectorAll('.tile.waits').length : -1"""
        return int(self.run(script))

    def filled(self) -> bool:
        """Tell whether every tile in sight has its picture, after the browser's next frames."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )
        return self.waiting() == 0

    def last_tile(self) -> int:
        """Return the index of the last car that has a tile."""
        script = "return [...document.querySelectorAll('.tile')].map((x) => x.dataset.index)"
        return max(map(int, self.run(script)), default=-1)

    def pixels(self, selector: str) -> list[int]:
        """Return the RGBA values of a canvas or a picture, at its own size."""
        script = """
            const drawn = document.querySelector(arguments[0]);
            if (drawn instanceof HTMLImageElement && !drawn.naturalWidth) return [];
            const canvas = document.createElement('canvas');
            canvas.width = drawn.naturalWidth ?? drawn.width;
            canvas.height = drawn.naturalHeight ?? drawn.height;
            const context = canvas.getContext('2d');
            context.drawImage(drawn, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data]"""
        found: list[int] = self.run(script, selector)
        return found

    def requests(self, part: str) -> list[str]:
        """Return the addresses with ``part`` in them that the page has asked for."""
        script = """
            return performance.getEntriesByType('resource').map((x) => x.name)
                .filter((x) => x.includes(arguments[0]))"""
        found: list[str] = self.run(script, part)
        return found

    def faults(self) -> list[str]:
        """Return what the console has said since the last look."""
        return [x["message"] for x in self.driver.get_log("browser")]

    def barriers(self) -> list[str]:
        """Return what axe-core finds amiss in what is shown, a line each."""
        if not self.run("return 'axe' in window"):
            self.cdp("Runtime.evaluate", expression=AXE.read_text())
        found = self.driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run().then((x) => done(x.violations), (x) => done([{id: String(x), nodes: []}]))"
        )
        return [f"{x['id']}: {json.dumps([y['html'] for y in x['nodes']])}" for x in found]

    def size(self, width: int, height: int) -> None:
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def theme(self, name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.cdp("Emulation.setEmulatedMedia", features=features)

    def network(self, latency_ms: float = 0, offline: bool = False) -> None:
        """Have every request take ``latency_ms`` longer, or fail."""
        self.cdp("Network.enable")
        self.cdp(
            "Network.emulateNetworkConditions",
            offline=offline,
            latency=latency_ms,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    @contextmanager
    def before_load(self, script: str) -> Iterator[None]:
        """Run ``script`` in each page before its own scripts."""
        name = self.cdp("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
        try:
            yield
        finally:
            self.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=name)


@contextmanager
def chromium(width: int = 1200, height: int = 900) -> Iterator[Browser]:
    """Start Chromium with a profile of its own, and end it with the block."""
    folder = Path(tempfile.mkdtemp(prefix="carfront-chromium-"))
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},{height}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(
        shutil.which("chromedriver") or "chromedriver", env={**os.environ, "no_proxy": "127.0.0.1"}
    )
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_script_timeout(PATIENCE_S)
        driver.set_page_load_timeout(PATIENCE_S)
        browser = Browser(driver, folder / "downloads")
        browser.downloads.mkdir()
        browser.cdp(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(browser.downloads)
        )
        browser.size(width, height)
        yield browser
    finally:
        driver.quit()
        shutil.rmtree(folder, ignore_errors=True)

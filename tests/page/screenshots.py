"""Pictures of the page for the README: ``python -m tests.page.screenshots docs/page``."""

import io
import sys
from pathlib import Path

from PIL import Image

from tests.page.chromium import Browser, chromium
from tests.servers import PYTHON, serving, until

QUALITY = 75
VIEWS = {
    "wall": ("", "light", (1100, 640)),
    "car": ("?car=7&edit=0,0,0,0,0,2,0", "dark", (1100, 740)),
    "phone": ("?first=2000&truncation=0.7", "dark", (360, 740)),
    "morph": ("?from=13&to=51&way=0.5", "light", (360, 740)),
}
"""What each picture shows: the address, the theme, and the window in CSS pixels."""


def take(browser: Browser, url: str, out: Path) -> None:
    """Write a picture of each view of the page at ``url`` into ``out``."""
    for name, (query, theme, size) in VIEWS.items():
        browser.size(*size)
        browser.theme(theme)
        browser.open(f"{url}/{query}")
        until(browser.filled)
        until(lambda: "images/s" in browser.text("#figures"))
        until(lambda: not browser.text("#morph-note"))
        image = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
        image.save(out / f"{name}.webp", quality=QUALITY, method=6)
        print(f"{out / name}.webp {(out / f'{name}.webp').stat().st_size} bytes")


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with serving(PYTHON) as server, chromium() as browser:
        take(browser, server.url, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

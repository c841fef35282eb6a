"""One server and one browser for all tests of the page."""

import pytest

from tests.servers import PYTHON, serving


@pytest.fixture(scope="module")
def chromium_window():
    from tests.page.chromium import chromium, install_packages

    install_packages()
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server():
    with serving(PYTHON) as found:
        yield found


@pytest.fixture
def browser(chromium_window):
    """Yield the browser as it was at first; a test ends without a word in its console."""
    browser = chromium_window
    browser.size(1200, 900)
    browser.theme("light")
    browser.network()
    browser.driver.get("about:blank")
    browser.faults()
    yield browser
    assert browser.faults() == []

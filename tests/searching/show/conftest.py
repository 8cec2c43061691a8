"""A real browser for the pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SWITCHES = ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-component-update")


@pytest.fixture(scope="package")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in (*SWITCHES, f"user-data-dir={tmp_path_factory.mktemp('profile')}", "window-size=1280,1600"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        yield started
    finally:
        started.quit()


@pytest.fixture
def show(driver: Any, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Opens a page's text; in the end its console must hold nothing severe."""

    def opened(html: str) -> Any:
        (tmp_path / "page.html").write_text(html, encoding="utf-8")
        driver.get((tmp_path / "page.html").as_uri())
        return driver

    driver.get_log("browser")
    yield opened
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []

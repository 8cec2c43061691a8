"""The page in a real browser: it draws, sorts, and answers to the mouse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lowbit.analysis import analyze
from tests.analysis.networks import samples, uneven

pytest.importorskip("selenium", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no Chromium: apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    folder = tmp_path_factory.mktemp("page")
    x, labels = samples()
    report = analyze(
        uneven(), x[:1], calibration=[x], dataset=(x.numpy(), labels.numpy()), config="w4a4", bits=(8, 4, 2), name="<b>uneven</b>"
    )
    report.save_html(folder / "page.html")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
    ):
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.add_argument("--window-size=1280,1600")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        driver.get(Path(folder / "page.html").as_uri())
        yield driver
    finally:
        driver.quit()


def texts(browser: Any, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements("css selector", selector)]


def test_it_draws_without_an_error(browser: Any) -> None:
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert texts(browser, "h1") == ["<b>uneven</b>"]
    assert len(browser.find_elements("css selector", "#picture .node")) == 7
    assert len(browser.find_elements("css selector", "#lines circle")) == 12
    assert "equal" in texts(browser, ".tile b")


def test_a_click_on_a_layer_shows_it(browser: Any) -> None:
    assert texts(browser, "#layer")[0] in ("fragile", "head")
    browser.execute_script("document.querySelector('#picture [data-name=head]').dispatchEvent(new MouseEvent('click'))")
    assert texts(browser, "#layer") == ["head"]
    browser.find_elements("css selector", "#widths button")[-1].click()
    assert "clipping" in texts(browser, "#wshare")[0]
    assert browser.find_elements("css selector", "#widths button[aria-pressed=true]")[0].text == "2 bits"


def test_columns_sort_both_ways(browser: Any) -> None:
    def column(index: int) -> list[str]:
        return texts(browser, f"#table tbody td:nth-child({index})")

    assert column(1) == ["1", "2", "3", "4"]
    browser.find_elements("css selector", "#table th")[1].click()
    assert column(2) == sorted(column(2))
    browser.find_elements("css selector", "#table th")[1].click()
    assert column(2) == sorted(column(2), reverse=True)


def test_plots_answer_to_the_mouse(browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    point = browser.find_elements("css selector", "#lines circle")[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(browser).move_to_element(point).perform()
    tip = browser.find_element("id", "tip")
    assert tip.is_displayed()
    assert tip.text.startswith("stem, 8 bits alone")

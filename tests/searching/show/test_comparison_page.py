"""The page of a comparison in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lowbit.searching.show import comparison_page, conclusions
from tests.searching.show.samples import comparison
from tests.searching.show.test_page import count, over, pick, texts

pytest.importorskip("scipy", reason="pip install lowbit[search]")
Show = Callable[[str], Any]


def heights(browser: Any, name: str) -> list[float]:
    line = browser.find_element("css selector", f'#lines .median[data-name="{name}"]')
    return [float(point.split(",")[1]) for point in line.get_attribute("points").split()]


def test_it_says_what_the_conclusions_say(show: Show) -> None:
    c = comparison()
    browser = show(comparison_page(c))
    assert texts(browser, "#words p") == [text.strip() for text in conclusions(c)]
    assert count(browser, "main b") == 0
    assert texts(browser, "h1") == ["<b>resnet20</b>: search strategies"]
    assert count(browser, "#table tbody tr") == 2 * 2 * 3


def test_lines_bands_and_the_optimum(show: Show) -> None:
    browser = show(comparison_page(comparison()))
    assert count(browser, "#lines .median") == count(browser, "#lines polygon") == 3
    assert count(browser, "#lines .optimum") == 1
    assert heights(browser, "tpe") == sorted(heights(browser, "tpe"), reverse=True)
    assert heights(browser, "tpe")[-1] < heights(browser, "<b>random</b>")[-1]
    pick(browser, "measure", "regret best")
    assert heights(browser, "tpe") == sorted(heights(browser, "tpe"))
    browser.find_element("id", "seeds").click()
    assert count(browser, "#lines .seed") == 15


def test_a_click_takes_a_strategy_away_and_back(show: Show) -> None:
    browser = show(comparison_page(comparison()))
    button = browser.find_elements("css selector", "#names button")[1]
    button.click()
    assert count(browser, "#lines .median") == 2
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert count(browser, "#lines .median") == 3


def test_hover_gives_medians_and_ranges(show: Show) -> None:
    c = comparison({"a": 0.9}, seeds=4)
    c["strategies"]["a"]["best"] = [[0.1], [0.2], [0.4], [0.8]]
    browser = show(comparison_page(c))
    step = browser.find_elements("css selector", "#lines .step")[0]
    assert over(browser, step).splitlines() == ["after 1 trials", "a 0.3 (0.1 to 0.8)"]


def test_pairs_mark_who_is_ahead(show: Show) -> None:
    browser = show(comparison_page(comparison()))
    rows = [
        [cell.text for cell in row.find_elements("css selector", "td")]
        for row in browser.find_elements("css selector", "#pairs tbody tr")
    ]
    assert rows == [
        ["tpe", "", "0.024 *", "0.22"],
        ["<b>random</b>", "0.024", "", "0.024"],
        ["nsga2", "0.22", "0.024 *", ""],
    ]
    assert count(browser, "#pairs .different") == 4
    browser = show(comparison_page(comparison(seeds=3)))
    assert count(browser, "#pairs .different") == 0


def test_an_enumeration_ends_at_the_budget(show: Show) -> None:
    c = comparison(trials=30)
    c["strategies"]["all"] = {"best": [[0.5] * 700], "hypervolume": [[0.5] * 700], "seconds": [1.0]}
    browser = show(comparison_page(c))
    assert count(browser, "#lines .step") == 30
    assert len(heights(browser, "all")) == 30
    assert any("fewer than 4 seeds, shown and not tested: all" in text for text in texts(browser, "#words p"))


def test_columns_sort(show: Show) -> None:
    browser = show(comparison_page(comparison()))
    head = texts(browser, "#table th")
    browser.find_elements("css selector", "#table th")[head.index("median")].click()
    medians = [float(text) for text in texts(browser, f"#table tbody td:nth-child({head.index('median') + 1})")]
    assert medians == sorted(medians)
    assert medians[0] < medians[-1]


@pytest.mark.parametrize("change", [{"optimum": None, "noise": None}, {"trials": []}, {"strategies": {}}])
def test_parts_that_are_missing(show: Show, change: dict[str, Any]) -> None:
    browser = show(comparison_page(comparison() | change))
    assert texts(browser, "h1") == ["<b>resnet20</b>: search strategies"]
    assert count(browser, "#lines .optimum") == (0 if "optimum" in change or "strategies" in change else 1)

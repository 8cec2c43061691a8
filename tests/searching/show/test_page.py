"""The page of a search in a real browser: it draws, answers to mouse and keyboard, sorts, and takes names for text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from lowbit.searching.show import search_page
from lowbit.searching.show.shapes import best, complete, feasible, front
from tests.searching.show.samples import study

Show = Callable[[str], Any]


def texts(browser: Any, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements("css selector", selector)]


def count(browser: Any, selector: str) -> int:
    return len(browser.find_elements("css selector", selector))


def point(browser: Any, number: int) -> Any:
    return browser.find_element("css selector", f'#scatter .pt[data-number="{number}"]')


def pick(browser: Any, name: str, choice: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(browser.find_element("id", name)).select_by_value(choice)


def over(browser: Any, element: Any) -> str:
    """The tip when the mouse is over ``element``."""
    from selenium.webdriver.common.action_chains import ActionChains

    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    ActionChains(browser).move_to_element(element).perform()
    tip = browser.find_element("id", "tip")
    assert tip.is_displayed()
    return str(tip.text)


def drawn(result: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    return [t for t in complete(result) if all(t["metrics"].get(n) is not None for n in names)]


def test_it_draws_what_there_is(show: Show) -> None:
    result = study()
    browser = show(search_page(result))
    assert texts(browser, "h1") == ["<b>resnet20</b>, study s<b>"]
    both = drawn(result, "accuracy", "latency")
    assert count(browser, "#scatter .pt") == len(both) == 37
    assert count(browser, "#scatter .pt.front") == len(front(result))
    assert count(browser, "#scatter .pt.infeasible") == 1
    assert count(browser, "#scatter .uniform") == 3
    assert count(browser, "#scatter .bound") == 1
    assert count(browser, "#table tbody tr") == 40
    assert count(browser, "#hypervolume .step") == len(complete(result))
    assert texts(browser, ".tile b")[0] == "5.1e+50"
    assert any("no trial beats beyond the noise" in text for text in texts(browser, "#words p"))


def test_names_are_text_and_nothing_is_fetched(show: Show) -> None:
    result = study()
    result["study"] = "</script><script>document.title = 'broken'</script>"
    result["facts"] = {"<img src=x onerror=alert(1)>": "&amp;"}
    page = search_page(result)
    browser = show(page)
    assert "broken" not in browser.title
    assert count(browser, "main b:not(.tile b), main i, main img") == 0
    assert "<b>conv1</b>" in browser.page_source.replace("&lt;", "<").replace("&gt;", ">")
    assert "<img src=x onerror=alert(1)>: &amp;" in texts(browser, "#words p")
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|@import|url\(http", page)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_hover_shows_the_plan_the_metrics_and_the_noise(show: Show) -> None:
    result = study()
    browser = show(search_page(result))
    number = next(t["number"] for t in front(result) if t["measured"])
    text = over(browser, point(browser, number))
    trial = result["trials"][number]
    assert text.startswith(f"trial {number}, on the front")
    assert f"accuracy {trial['metrics']['accuracy']:.3f} ± 0.008" in text
    assert "measured" in text
    assert count(browser, "#tip .layer") == 6
    assert count(browser, "#tip .layer rect") == 12
    assert count(browser, "#halo ellipse") == 1
    heights = [float(r.get_attribute("height")) for r in browser.find_elements("css selector", "#tip .layer rect")]
    widths = [int(t[1:]) for pair in trial["layers"].values() for t in pair]
    tops = [float(r.get_attribute("y")) for r in browser.find_elements("css selector", "#tip .layer rect")]
    ends = {round(top + h, 1) for top, h in zip(tops[0::2], heights[0::2], strict=True)}
    assert ends == {32}  # weights stand on the line ...
    assert set(tops[1::2]) == {32.5}  # ... activations hang from it
    assert [round((h + 0.5) / (heights[0] + 0.5) * widths[0], 1) for h in heights] == widths


def test_ties_are_faint_and_ringed(show: Show) -> None:
    result = study(trials=20)
    for trial in result["trials"]:
        trial["ties"] = []
    first = front(result)[0]
    other = next(t for t in drawn(result, "accuracy", "latency") if t["feasible"] and not t["front"])
    first["ties"], other["ties"] = [other["number"]], [first["number"]]
    browser = show(search_page(result))
    assert "tie" in point(browser, other["number"]).get_attribute("class").split()
    assert count(browser, "#scatter .pt.tie") == 1
    assert f"as good within the noise: {other['number']}" in over(browser, point(browser, first["number"]))
    assert count(browser, "#halo .ring") == 1


def test_a_member_of_the_front_that_noise_put_there_is_paler(show: Show) -> None:
    """It is worse than another beyond the noise in one objective, and better in none."""
    result = study(trials=20)
    for trial in result["trials"]:
        trial["ties"] = []
    first, second = front(result)[:2]
    first["ties"] = [second["number"]]
    browser = show(search_page(result))
    assert count(browser, "#scatter .pt.weak") == 1
    assert "weak" in point(browser, first["number"]).get_attribute("class").split()
    assert "on the front by less than the noise" in over(browser, point(browser, first["number"]))
    second["ties"] = [first["number"]]
    browser = show(search_page(result))
    assert count(browser, "#scatter .pt.weak") == 0


def test_why_a_trial_failed_and_whose_plan_it_repeats(show: Show) -> None:
    result = study(trials=8)
    result["trials"][1]["failed"] = "LowbitError: no <i>kernel</i>"
    result["trials"][3]["same_as"] = 0
    result["constraints"], result["limits"] = ["accuracy >= float - 1%"], {"accuracy >= float - 1%": 0.85}
    browser = show(search_page(result))
    assert count(browser, "#scatter .bound") == 1
    for number, words in ((1, "LowbitError: no <i>kernel</i>."), (3, "The same plan as trial 0")):
        browser.execute_script(f"choose({number})")
        assert words in texts(browser, "#facts")[0]


def test_a_click_gives_plan_metrics_and_command(show: Show) -> None:
    result = study()
    browser = show(search_page(result))
    assert texts(browser, "#chosen")[0].startswith(f"Trial {best(result, 1)[0]['number']},")
    for trial in (drawn(result, "accuracy", "latency")[5], drawn(result, "accuracy", "latency")[12]):
        browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('click'))", point(browser, trial["number"]))
        assert texts(browser, "#chosen")[0].startswith(f"Trial {trial['number']},")
        assert texts(browser, "#command") == [f"lowbit compile --from sqlite:///s.db --trial {trial['number']} -o best.lowbit"]
        assert texts(browser, "#plan .layer text") == [t[1:] for pair in trial["layers"].values() for t in pair]
        assert f"{trial['metrics']['accuracy']:.3f} ± 0.008" in texts(browser, "#metrics tbody tr")[0]
        assert count(browser, ".pt.chosen") == count(browser, ".thread.chosen") == count(browser, "tr.chosen") == 1
    browser.find_element("id", "copy").click()
    browser.execute_async_script("setTimeout(arguments[0], 200)")
    assert texts(browser, "#copy") == ["copied"]


def test_layers_get_the_width_of_their_share(show: Show) -> None:
    browser = show(search_page(study()))

    def widths() -> list[float]:
        return [float(r.get_attribute("width")) for r in browser.find_elements("css selector", "#plan .layer rect:first-child")]

    assert max(widths()) == pytest.approx(min(widths()))
    pick(browser, "share", "macs")
    first, *_, last = widths()
    assert (last - 3) / (first - 3) == pytest.approx(6)  # 3 pixels are everyone's
    pick(browser, "share", "parameters")
    first, *_, last = widths()
    assert (last - 3) / (first - 3) == pytest.approx(32)


@pytest.mark.parametrize(
    ("across", "up"), [("latency", "accuracy"), ("size", "latency"), ("accuracy", "loss"), ("accuracy", "size")]
)
def test_axes_change_and_the_stairs_lead_the_right_way(show: Show, across: str, up: str) -> None:
    result = study()
    browser = show(search_page(result))
    pick(browser, "horizontal", across)
    pick(browser, "vertical", up)
    known = drawn(result, across, up)
    assert count(browser, "#scatter .pt") == len(known)
    signs = [1 if result["metrics"][n]["direction"] == "maximize" else -1 for n in (across, up)]
    values = {
        t["number"]: [s * t["metrics"][n] for s, n in zip(signs, (across, up), strict=True)]
        for t in feasible(result)
        if t in known
    }
    ahead = {n for n, v in values.items() if not any(o != v and o[0] >= v[0] and o[1] >= v[1] for o in values.values())}
    stairs = browser.find_element("css selector", "#scatter .stairs")
    assert set(map(int, stairs.get_attribute("data-numbers").split())) == ahead
    # better lies where the axis says: no point of the front may be beyond the line, so all corners go one way
    path = [float(v) for v in re.findall(r"[HV]([\d.]+)", stairs.get_attribute("d"))]
    xs, ys = path[1:-1:2], path[0::2]
    assert xs == sorted(xs, reverse=signs[0] > 0)  # from the best of x, on the right if larger is better
    assert ys == sorted(ys, reverse=signs[1] > 0)  # pixels grow downwards
    plot = browser.find_element("id", "scatter")
    width, height = (float(plot.get_attribute(name)) for name in ("width", "height"))
    start = [float(v) for v in re.findall(r"[\d.]+", stairs.get_attribute("d"))][:2]
    assert start[1] == (height - 46 if signs[1] > 0 else 26)  # from the worst y ...
    assert path[-1] == (64 if signs[0] > 0 else width - 20)  # ... to the worst x


def test_the_number_of_the_trial_is_an_axis_without_stairs(show: Show) -> None:
    browser = show(search_page(study()))
    pick(browser, "horizontal", "number")
    assert count(browser, "#scatter .pt") == 38
    assert count(browser, "#scatter .stairs") == 0


def test_infeasible_trials_can_be_left_out(show: Show) -> None:
    browser = show(search_page(study()))
    browser.find_element("id", "hollow").click()
    assert count(browser, "#scatter .pt.infeasible") == 0
    assert count(browser, "#scatter .pt") == 36


def test_columns_sort_both_ways_with_what_is_missing_last(show: Show) -> None:
    result = study()
    browser = show(search_page(result))
    head = texts(browser, "#table th")
    index = next(i for i, text in enumerate(head) if text.startswith("latency"))

    def column() -> list[str]:
        return [t.split(" ±")[0] for t in texts(browser, f"#table tbody td:nth-child({index + 1})")]

    for reverse in (False, True):
        browser.find_elements("css selector", "#table th")[index].click()
        shown = column()
        assert shown[-3:] == ["–"] * 3
        assert [float(v) for v in shown[:-3]] == sorted((float(v) for v in shown[:-3]), reverse=reverse)
        aria = browser.find_elements("css selector", "#table th")[index].get_attribute("aria-sort")
        assert aria == ("descending" if reverse else "ascending")


def test_rows_and_columns_answer_to_the_keyboard(show: Show) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = show(search_page(study()))
    browser.find_element("css selector", '#table tr[data-number="1"]').send_keys(Keys.ENTER)
    assert texts(browser, "#chosen") == ["Trial 1, failed"]
    assert not browser.find_element("id", "command").is_displayed()
    browser.find_elements("css selector", "#table th")[0].send_keys(Keys.ENTER)
    assert browser.find_element("css selector", "#table tbody tr").get_attribute("data-number") == "39"
    assert browser.execute_script("return document.activeElement.tagName") == "TH"


def test_arrow_keys_go_through_the_trials(show: Show) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    result = study()
    browser = show(search_page(result))
    plot = browser.find_element("id", "scatter")
    order = [t["number"] for t in sorted(drawn(result, "accuracy", "latency"), key=lambda t: t["metrics"]["latency"])]
    plot.send_keys(Keys.HOME)
    assert texts(browser, "#chosen")[0].startswith(f"Trial {order[0]},")
    plot.send_keys(Keys.ARROW_RIGHT)
    assert texts(browser, "#chosen")[0].startswith(f"Trial {order[1]},")
    assert browser.find_element("id", "tip").text.startswith(f"trial {order[1]},")
    plot.send_keys(Keys.END)
    ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.HOME).key_up(Keys.SHIFT).perform()
    assert texts(browser, "#chosen")[0].startswith(f"Trial {front(result)[-1]['number']}, on the front")


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_one_to_four_objectives(show: Show, objectives: int) -> None:
    result = study(objectives=objectives)
    browser = show(search_page(result))
    assert count(browser, "#scatter .pt.front") == len([t for t in front(result) if t in drawn(result, "accuracy", "latency")])
    assert texts(browser, "#parallel .axis") == [o["name"] for o in result["objectives"]]
    assert count(browser, "#parallel .thread") == len(complete(result))
    assert texts(browser, "#progressing") == ["best accuracy against trials" if objectives == 1 else "hypervolume against trials"]
    for i, o in enumerate(result["objectives"]):  # better is up
        known = drawn(result, *(o["name"] for o in result["objectives"]))
        sign = 1 if o["direction"] == "maximize" else -1
        top = max(known, key=lambda t: sign * t["metrics"][o["name"]])["number"]
        lines = {t["number"]: browser.find_element("css selector", f'.thread[data-number="{t["number"]}"]') for t in known}
        ys = {n: float(line.get_attribute("points").split()[i].split(",")[1]) for n, line in lines.items()}
        assert ys[top] == min(ys.values())
    thread = browser.find_elements("css selector", "#parallel .thread")[0]
    browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('click'))", thread)
    assert texts(browser, "#chosen")[0].startswith(f"Trial {thread.get_attribute('data-number')},")


def test_a_metric_that_never_changes_has_no_axis_of_its_own(show: Show) -> None:
    result = study(trials=8)
    for trial in complete(result):
        trial["metrics"] |= {"bit_operations": 7, "latency": 2.0}
    browser = show(search_page(result))
    assert texts(browser, "#parallel .axis") == ["accuracy", "latency"]  # objectives stay
    assert "bit_operations" not in texts(browser, "#parallel text")
    assert "loss" in texts(browser, "#parallel text")


def test_a_weighted_study_has_a_best_and_no_front(show: Show) -> None:
    result = study(mode="weighted")
    browser = show(search_page(result))
    assert texts(browser, "#chosen")[0].startswith(f"Trial {best(result, 1)[0]['number']}, the best")
    assert "on the front" not in texts(browser, "#legend")[0]
    assert texts(browser, ".tile span") == ["plans in the space", "complete of 40 trials", "feasible"]
    assert texts(browser, "#progressing") == ["best weighted sum against trials"]


def test_no_feasible_trial(show: Show) -> None:
    result = study(constraint=0.99)
    browser = show(search_page(result))
    assert texts(browser, "#about")[0].startswith("NO TRIAL HOLDS THE CONSTRAINTS.")
    assert count(browser, "#scatter .pt.infeasible") == count(browser, "#scatter .pt") == 37
    assert count(browser, "#scatter .stairs") == 0
    assert "missed by 0.059" in texts(browser, "#facts")[0]
    assert texts(browser, "#words .warn") == ["no trial is feasible"]


@pytest.mark.parametrize("trials", [0, 1, 2])
def test_next_to_no_trials(show: Show, trials: int) -> None:
    result = study(trials=trials) | {"uniform": []}
    browser = show(search_page(result))
    assert count(browser, "#scatter .pt") == min(trials, 1)
    assert count(browser, "#table tbody tr") == trials
    assert browser.find_element("id", "detail").is_displayed() == (trials > 0)


def test_numbers_that_json_or_doubles_lack(show: Show) -> None:
    result = study(trials=8)
    result["trials"][0]["metrics"]["loss"] = float("nan")
    result["trials"][3]["metrics"]["bit_operations"] = 10**400
    result["trials"][4]["metrics"]["latency"] = float("inf")
    result["trials"][5]["metrics"] = {"accuracy": None}
    result["space"]["size"] = 10**6000
    browser = show(search_page(result))
    assert texts(browser, ".tile b")[0] == "1.0e+6000"
    assert count(browser, "#scatter .pt") == len([0, 3, 6])
    pick(browser, "horizontal", "bit_operations")
    assert count(browser, '#scatter .pt[data-number="3"]') == 0


@pytest.mark.slow
def test_two_thousand_trials_of_a_deep_network(show: Show) -> None:
    result = study(objectives=3, trials=2000, layers=50)
    browser = show(search_page(result))
    assert count(browser, "#scatter .pt") == len(drawn(result, "accuracy", "latency"))
    assert count(browser, "#table tbody tr") == 2000
    assert count(browser, "#plan .layer") == 50
    for number in (0, 1998):
        browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('click'))", point(browser, number))
        assert texts(browser, "#chosen")[0].startswith(f"Trial {number:d},")
    took = browser.execute_script("const t = performance.now(); scatter(); choose(0); return performance.now() - t")
    assert took < 5000


def test_dark_and_light(show: Show) -> None:
    browser = show(search_page(study(trials=5)))

    def ground(scheme: str) -> str:
        media = {"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        return str(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))

    try:
        assert ground("dark") == "rgb(15, 20, 25)"
        assert ground("light") == "rgb(245, 247, 249)"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})

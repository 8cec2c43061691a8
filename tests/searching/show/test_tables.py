"""The table of best trials and the words under it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from lowbit.searching.show import best_table, words
from lowbit.searching.show.wording import beats
from tests.searching.show.samples import study


def printed(table: Any) -> str:
    text = io.StringIO()
    Console(file=text, width=180).print(table)
    return text.getvalue()


def line(lines: list[str], start: str) -> str:
    found = [text for text in lines if text.startswith(start)]
    assert len(found) == 1, lines
    return found[0]


def test_columns_and_metrics() -> None:
    result = study()
    text = printed(best_table(result, 3))
    assert text.splitlines()[2].split() == ["number", "software_metrics", "hardware_metrics", "scaled_metrics"]
    assert "accuracy 0.931 ± 0.008" in text
    assert "latency 2.328 ± 0.010 ms" in text
    assert "3 of the 6 on the front" in text
    assert "<i>w2a4</i>" in text


def test_metrics_that_nobody_asked_for_are_left_to_the_files() -> None:
    result = study()
    assert "size" not in printed(best_table(result, 3)).split("in files and on the page, too:")[0]
    assert "in files and on the page, too: size, bit_operations, average_bitwidth" in printed(best_table(result, 3))
    result["constraints"].append("size <= 30000")
    assert "size 25,937 B" in printed(best_table(result, 3))


def test_the_number_of_threads_is_said_once() -> None:
    assert "EPYC, 1 thread;" in words(study() | {"machine": "EPYC"})[0]
    assert "EPYC, 1 thread;" in words(study() | {"machine": "EPYC, 1 thread"})[0]


def test_rows_limit_the_trials_not_the_uniform_networks() -> None:
    table = best_table(study(), 2)
    assert table.row_count == 2 + 3


def test_measured_beside_predicted() -> None:
    result = study(trials=5)
    only = result["trials"][3]
    only |= {"front": True, "feasible": True, "metrics": {"accuracy": 0.9, "latency": 2.0}, "measured": {"latency": 2.1}}
    for trial in result["trials"]:
        trial["front"] = trial is only
    only["errors"] = {"latency": 0.03}
    assert "latency 2.00 ± 0.03 ms, measured 2.1 (+5.0 %)" in printed(best_table(result, 1))
    assert "latency measured on the whole network lies +5.0 % from the predicted one (1 trial" in "\n".join(words(result))


def test_ties_are_marked_and_said() -> None:
    result = study(trials=12)
    first = next(t for t in result["trials"] if t["front"])
    for trial in result["trials"]:
        trial["ties"] = []
    first["ties"] = [3, 4, 5, 6, 7, 9]
    assert "≈ 3, 4, 5, 6, +2" in printed(best_table(result))
    assert f"trial {first['number']} ties with 3, 4, 5, 6, 7, 9: in no objective are they worse by more than the noise" in words(
        result
    )


def test_markup_in_names_is_text() -> None:
    result = study(trials=4)
    result["network"] = "[red]net[/red]"
    result["uniform"][0]["name"] = "[bold]w8[/bold]"
    assert "[red]net[/red]" in printed(best_table(result))
    assert "[bold]w8[/bold]" in printed(best_table(result))


def test_states_and_the_space() -> None:
    lines = words(study())
    assert line(lines, "trials:") == "trials: 38 complete, 1 failed, 1 waiting; 37 of 38 hold accuracy >= 0.8"
    assert "5.1e+50 plans over 6 dimensions" in "\n".join(lines)
    assert line(lines, "noise on 1,000 images").endswith("standard error of accuracy 0.008, spread of latency 0.01 ms")
    assert line(lines, "compile trial 8").endswith("lowbit compile --from sqlite:///s.db --trial 8 -o best.lowbit")


def test_nothing_feasible_says_how_far() -> None:
    result = study(constraint=0.99)
    lines = words(result)
    assert "no trial is feasible" in lines
    assert line(lines, "accuracy >= 0.99: missed by") == "accuracy >= 0.99: missed by 0.059 at least, in trial 8"
    assert "NO trial holds the constraints" in printed(best_table(result))
    assert not any(text.startswith("compile trial") for text in lines)


def test_constraints_that_only_exclude_each_other() -> None:
    result = study(constraint=0.99, trials=4)
    result["constraints"] = ["a <= 1", "b <= 1"]
    for i, trial in enumerate(result["trials"]):
        trial["constraints"] = {"a <= 1": 1 if i % 2 else -1, "b <= 1": -1 if i % 2 else 1}
        trial["feasible"], trial["state"], trial["metrics"] = False, "complete", {"accuracy": 0.5}
    assert "no trial is feasible: each constraint is held by some trial, all together by none" in words(result)


def test_a_command_with_braces_stays_itself() -> None:
    result = study(trials=4)
    result["command"] = "lowbit --from '{x}' --trial {number}"
    assert line(words(result), "compile trial").endswith(f"--from '{{x}}' --trial {words(result)[-1].split()[2].rstrip(':')}")


@pytest.mark.parametrize("trials", [0, 2])
def test_next_to_nothing_is_shown_too(trials: int) -> None:
    result = study(trials=trials) | {"uniform": [], "constraints": [], "facts": {}}
    assert best_table(result).row_count == min(trials, 1)
    assert line(words(result), "trials:") == ("trials: none" if trials == 0 else "trials: 1 complete, 1 failed")


def test_one_is_beaten_only_beyond_the_noise() -> None:
    result = study(objectives=2)

    def network(accuracy: float | None, latency: float, error: float = 0.01) -> dict[str, Any]:
        return {"name": "n", "metrics": {"accuracy": accuracy, "latency": latency}, "errors": {"accuracy": error, "latency": 0.0}}

    assert beats(result, network(0.93, 1.0), network(0.90, 1.0))  # 0.03 above 2 sqrt(2) 0.01
    assert not beats(result, network(0.92, 1.0), network(0.90, 1.0))
    assert not beats(result, network(0.99, 1.1), network(0.90, 1.0))  # slower
    assert beats(result, network(0.90, 0.9), network(0.90, 1.0))
    assert not beats(result, network(0.90, 1.0, 0.0), network(0.90, 1.0, 0.0))  # equal
    assert not beats(result, network(None, 0.5), network(0.90, 1.0))


def test_uniform_networks_in_words() -> None:
    result = study()
    result["uniform"] = [
        {"name": "worst", "metrics": {"accuracy": 0.1, "latency": 99.0}, "errors": {}},
        {"name": "best", "metrics": {"accuracy": 1.0, "latency": 0.0}, "errors": {}},
    ]
    assert line(words(result), "networks of one width that are beaten").endswith("noise): worst by 0, 3, 4, 5 and 32 more")
    assert "networks of one width that no trial beats beyond the noise: best" in words(result)


def test_one_number_orders_single_and_weighted_studies() -> None:
    assert line(words(study(objectives=1)), "best:") == "best: trial 8, accuracy 0.931 ± 0.008"
    weighted = line(words(study(mode="weighted")), "best:")
    assert weighted == "best: trial 33, accuracy 0.897 ± 0.008, latency 1.577 ± 0.010 ms, weighted sum 0.7392"
    assert not any(text.startswith("best:") for text in words(study()))
    assert "on the front" not in "".join(words(study(mode="weighted")))


def test_failures_and_the_float_network_in_words() -> None:
    result = study() | {"float": {"accuracy": 0.95, "loss": None}, "storage": ""}
    for trial in result["trials"][10:15]:
        trial["failed"] = "LowbitError: why"
    lines = words(result)
    assert "failed: trial 10: LowbitError: why" in lines
    assert "and 2 more failed" in lines
    assert "the float network: accuracy 0.95" in lines
    assert lines[0].endswith("AMD EPYC, 1 thread")
    del result["trials"][10:13]
    assert not any("more failed" in text for text in words(result))


def test_the_front_by_less_than_the_noise_in_words() -> None:
    result = study(trials=20)
    for trial in result["trials"]:
        trial["ties"] = []
    first, second, third = [t for t in result["trials"] if t["front"]][:3]
    assert not any("by less than the noise" in text for text in words(result))
    first["ties"], third["ties"] = [second["number"]], [second["number"]]
    second["ties"] = [third["number"]]
    assert line(words(result), "on the front by less than the noise").startswith(
        f"on the front by less than the noise: {first['number']}: each"
    )

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.tune_defaults import write_defaults

from lowbit.errors import ConfigError
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.kernels.conv2d.selection.decide import decide
from lowbit.kernels.conv2d.selection.decision import decision_of
from lowbit.kernels.conv2d.selection.select import choose
from lowbit.targets import TARGETS
from lowbit.tuning.database import user_database
from lowbit.tuning.defaults import FOLDER, read_defaults
from lowbit.tuning.lookup import Lookup, best_by_key, make_lookup, tuning_enabled
from tests.tuning.problems import decision, request, small, trial

VNNI = TARGETS["x86-64-v4-vnni"]
KEY = request(VNNI).key


def lookup(threads: int = 2, **sources: list[object]) -> Lookup:
    return Lookup(threads, tuple((name, best_by_key(trials)) for name, trials in sources.items()))  # type: ignore[arg-type]


def test_the_first_source_that_knows_a_problem_decides() -> None:
    problem, w = small()
    both = lookup(user=[trial(KEY, mr=3)], shipped=[trial(KEY, mr=2)])
    choice, tuned = decide(problem, w, VNNI, both)
    assert (choice.spec.mr, choice.spec.nr, tuned) == (3, 16, True)
    shipped = lookup(user=[trial("another", mr=3)], shipped=[trial(KEY, mr=2)])
    assert decide(problem, w, VNNI, shipped)[0].spec.mr == 2
    assert (both.counts, shipped.counts) == ({"user": 1}, {"shipped": 1})


def test_without_a_measurement_the_model_decides() -> None:
    problem, w = small()
    nothing = lookup(user=[], shipped=[])
    choice, tuned = decide(problem, w, VNNI, nothing)
    assert (choice.spec, tuned) == (choose(problem, w, VNNI).spec, False)
    assert decide(problem, w, VNNI, None)[0].spec == choice.spec
    assert nothing.counts == {"untuned": 1}


def test_a_decision_that_the_proof_refuses_falls_to_the_model_and_is_counted() -> None:
    avx2 = TARGETS["x86-64-v3"]
    problem, w = small(limit=127)
    key = request(avx2).key
    db = lookup(user=[trial(key)])  # u8_vnni, which this target does not have
    choice, tuned = decide(problem, w, avx2, db)
    assert (decision_of(choice), tuned) == (decision_of(choose(problem, w, avx2)), False)
    assert +db.counts == {"refused": 1}


@pytest.mark.parametrize(("threads", "mr"), [(1, 1), (2, 1), (3, 4), (4, 4), (64, 8)])
def test_the_nearest_number_of_threads_counts(threads: int, mr: int) -> None:
    found = lookup(threads, user=[trial(KEY, mr=n, threads=n) for n in (1, 4, 8)]).find(request(VNNI))
    assert found is not None
    assert found.mr == mr


def test_the_environment_turns_tuning_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, on in (("on", True), ("OFF", False), (" off ", False)):
        monkeypatch.setenv("LOWBIT_TUNING", value)
        assert tuning_enabled() is on
    monkeypatch.delenv("LOWBIT_TUNING")
    assert tuning_enabled()
    monkeypatch.setenv("LOWBIT_TUNING", "yes")
    with pytest.raises(ConfigError, match="LOWBIT_TUNING='yes': write on or off"):
        tuning_enabled()


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_defaults(VNNI, tmp_path) == []
    path = write_defaults(VNNI, 'a "cpu"', "amd-25-17", [trial("b"), trial("a")], tmp_path)
    assert read_defaults(VNNI, tmp_path) == read_defaults(replace(VNNI, costs="amd-25-17"), tmp_path) == [trial("a"), trial("b")]
    assert read_defaults(replace(VNNI, costs="intel-6-207"), tmp_path) == []  # another CPU: its costs know better
    assert path.read_text().count("\n") == 4
    monkeypatch.setattr("lowbit.tuning.lookup.read_defaults", lambda target: read_defaults(target, tmp_path))
    user_database(VNNI).append([trial("b", mr=7)])
    made = make_lookup(VNNI, 2)
    assert [(name, sorted(best)) for name, best in made.sources] == [("user", [("b", "")]), ("shipped", [("a", ""), ("b", "")])]
    path.write_text("{")
    with pytest.warns(UserWarning, match=f"{path} cannot be read"):
        assert read_defaults(VNNI, tmp_path) == []


def test_what_comes_with_lowbit_can_be_read(recwarn: pytest.WarningsRecorder) -> None:
    found = [replace(TARGETS[path.stem], costs=path.parent.name) for path in FOLDER.glob("*/*.json")]
    assert {(target.name, target.costs) for target in found} >= {
        ("x86-64-v4-vnni-popcnt", "amd-25-17"),
        ("x86-64-v4-vnni-popcnt", "intel-6-207"),
    }
    assert all(map(read_defaults, found))
    assert not recwarn.list


def test_a_new_form_orphans_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is tried first, and ends the search: what was measured before is found, and proven again."""
    problem, w = small()
    new = replace(FORMS["u8_vnni"], name="u8_new", x86=replace(FORMS["u8_vnni"].x86, cycles=0.1))  # type: ignore[type-var]
    before, path = request(VNNI).key, user_database(VNNI).path
    monkeypatch.setitem(FORMS, new.name, new)
    key = request(VNNI).key
    assert (key.problem, "u8_vnni" in key.states) == (before.problem, False)
    assert choose(problem, w, VNNI).spec.form == new.name
    choice, tuned = decide(problem, w, VNNI, lookup(user=[trial(before, mr=3)]))
    assert (choice.spec.form, choice.spec.mr, tuned) == ("u8_vnni", 3, True)
    both = lookup(user=[trial(before, mr=3), trial(key, mr=4)])
    assert decide(problem, w, VNNI, both)[0].spec.mr == 4  # measured with all there is
    assert user_database(VNNI).path == path


def test_what_other_weights_allowed_does_not_count() -> None:
    problem, w = small(limit=60)
    avx2 = TARGETS["x86-64-v3"]
    key = request(avx2, limit=60).key
    db = lookup(user=[replace(trial(key), decision=decision(form="u8_maddubs", mr=2))])
    assert decide(problem, w, avx2, db)[1]
    assert not decide(problem, w // 8, avx2, db)[1]  # more steps fit a narrow sum
    assert not decide(problem, w * 2, avx2, db)[1]  # none does


def test_every_shipped_decision_can_be_used() -> None:
    """Its key is one of today: what it allows names forms of the table, first those that are tried first."""
    for path in FOLDER.glob("*/*.json"):
        for shipped in read_defaults(replace(TARGETS[path.stem], costs=path.parent.name)):
            names = [name.rpartition("-")[2] for name in shipped.key.states]
            assert set(names) <= FORMS.keys()
            assert shipped.decision.form in FORMS
            assert " allows=" not in shipped.key.problem

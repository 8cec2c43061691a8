"""Mixed precision found by search beside networks of one width, strategies compared, the time of a trial: ``make search``.

Needs LOWBIT_DATA for the pretrained networks; without it only what needs no data runs.  Studies lie in .search/ and go on where
they were; finished parts are kept in benchmarks/results/search.json, and docs/search.md is written from them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from benchmarks.results_file import ROOT, Results, write_between

from lowbit.measure.machine import commit, machine, versions
from lowbit.searching.settings import SearchSettings, read_settings

RESULTS = ROOT / "benchmarks" / "results" / "search.json"
PAGE = ROOT / "docs" / "search.md"
IMAGES = ROOT / "docs" / "images"
STUDIES = {"resnet20": "ResNet-20, CIFAR-10", "mobilenet_v1": "MobileNetV1 0.75, ImageNet photographs"}
COMPARED = ("tpe", "nsga2", "nsga3", "random", "brute-force", "greedy", "ilp")
FOLDER = ROOT / ".search"
LOSS = 0.005  # of top-1 that a plan may lose against w8a8
REFITTED = 3  # plans of a size that are fitted as a whole, at most


def settings_of(name: str, trials: int | None = None) -> SearchSettings:
    FOLDER.mkdir(exist_ok=True)
    found = read_settings(ROOT / "benchmarks" / "search" / f"{name}.toml", {"storage": f"sqlite:///{FOLDER / name}.db"})
    return found if trials is None else replace(found, trials=trials)


def study(name: str, trials: int | None) -> dict[str, Any]:
    """The search, and what it found confirmed on images that judged no plan."""
    from lowbit.searching.api import finish
    from lowbit.searching.described import evaluator_of, opened_of
    from lowbit.searching.study import quiet_optuna

    settings = settings_of(name, trials)
    with quiet_optuna():
        opened = opened_of(settings, evaluator_of(settings, True, print), True)
        result = finish(opened, 1, None, True)
        if not result.complete:
            raise KeyboardInterrupt
        found = result.to_json()
        confirmed = _confirmed(settings, result, found)
        _pictures(name, found, int(confirmed["chosen"].split(",")[0].removeprefix("trial ")))
        kept = {**settings.to_json(), "storage": f"sqlite:///.search/{name}.db"}
        return {"settings": kept, "facts": _facts(found), **confirmed}


def _facts(found: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("network", "data", "images", "machine", "strategy", "seed", "constraints", "limits")
    file, _, rest = found["data"].rpartition("/")  # of a path its last part
    return {key: found[key] for key in keys} | {
        "data": rest if file else found["data"],
        "space": found["space"]["size"],
        "dimensions": len(found["space"]["dimensions"]),
        "trials": sum(trial["state"] == "complete" for trial in found["trials"]),
        "front": sum(trial["front"] for trial in found["trials"]),
    }


def _confirmed(settings: SearchSettings, result: Any, found: Mapping[str, Any]) -> dict[str, Any]:
    """The plan found, the networks of one width it has to beat, float: on the images that judged, and on the others."""
    from lowbit.evaluation.networks import CompiledRunner
    from lowbit.measure.scores import Outcomes, compare, outcomes_of
    from lowbit.searching.candidate import Candidate
    from lowbit.searching.uniform import widths_of

    evaluator = result.evaluator
    limit = evaluator.uniform(8, 8).outcomes.top1 - LOSS
    uniform = sorted(found["uniform"], key=lambda row: row["metrics"]["size"])
    smallest = next(row for row in uniform if row["metrics"]["accuracy"] >= limit)
    label, chosen, plan = _chosen(result, found, limit, smallest["metrics"]["size"])
    candidates: dict[str, Candidate] = {
        "w8a8": evaluator.uniform(8, 8),
        smallest["name"]: evaluator.uniform(*widths_of(smallest["name"])),
        label: Candidate(evaluator, plan),
    }
    rest = _rest(settings)
    networks = {label: candidate.opened for label, candidate in candidates.items()}
    networks["fp32"] = evaluator.opened(evaluator.graph)
    others: dict[str, Outcomes] = {}
    for label, network in networks.items() if rest else ():
        runner = CompiledRunner(network)
        others[label] = Outcomes.joined([outcomes_of(runner([x]), labels) for x, labels in rest])
    times = evaluator.timed(candidates)
    rows = {}
    for label, candidate in candidates.items():
        seen, judge = (others[label], others["w8a8"]) if rest else (candidate.outcomes, candidates["w8a8"].outcomes)
        beside = compare(seen, judge)
        rows[label] = {
            "accuracy": candidate.outcomes.top1,
            "loss": candidate.outcomes.loss,
            "confirmed": seen.top1 if rest else None,
            "top1_error": seen.top1_error,
            "against_w8a8": beside.difference,
            "against_w8a8_error": beside.difference_error,
            "size": candidate.weight_file_bytes,
            "file": candidate.file_bytes,
            "latency": times[label].ms,
            "latency_error": times[label].error,
            "predicted": candidate.reading.ms,
            "average_bitwidth": candidate.average_bits[0],
            "activation_bitwidth": candidate.average_bits[1],
        }
    return {
        "limit": limit,
        "float": {"accuracy": evaluator.floats.top1, "confirmed": others["fp32"].top1 if rest else None},
        "confirming_images": others["fp32"].count if rest else 0,
        "smallest_uniform": smallest["name"],
        "chosen": label,
        "rows": rows,
        "layers": chosen["layers"],
        "predictions": [
            trial["measured"]["latency"] / trial["metrics"]["latency"] - 1 for trial in found["trials"] if trial["measured"]
        ],
    }


def _chosen(result: Any, found: Mapping[str, Any], limit: float, size: float) -> tuple[str, Mapping[str, Any], Any]:
    """(name, trial, numbers) of the smallest plan that is accurate enough: as it was judged, or, where a method fits integers,
    fitted as a whole; then the most accurate of those three quarters as large as ``size`` are tried first, and larger ones after
    them, ``REFITTED`` in all."""
    from lowbit.searching.candidate import Candidate

    evaluator, trials = result.evaluator, [trial for trial in found["trials"] if trial["metrics"] and trial["same_as"] is None]
    judged = sorted((t for t in trials if t["metrics"]["accuracy"] >= limit), key=lambda t: t["metrics"]["size"])
    best = judged[0]
    print(f"trial {best['number']}: {best['metrics']['size']:,.0f} B, {100 * best['metrics']['accuracy']:.2f} %", flush=True)
    answer = (f"trial {best['number']}", best, evaluator.candidate(best["params"]).plan)
    if not evaluator.numbers.fitted:
        return answer
    for least, most in ((0.0, 0.75), (0.75, 0.85)):
        room = [t for t in trials if least * size < t["metrics"]["size"] <= min(most * size, best["metrics"]["size"] - 1)]
        for trial in sorted(room, key=lambda t: -t["metrics"]["accuracy"])[:REFITTED]:
            plan = result.plan(trial["number"], refit=True)
            top1 = Candidate(evaluator, plan).outcomes.top1
            before = trial["metrics"]
            print(
                f"trial {trial['number']}: {before['size']:,.0f} B, {100 * before['accuracy']:.2f} -> {100 * top1:.2f} %",
                flush=True,
            )
            if top1 >= limit:
                return f"trial {trial['number']}, refit", trial, plan
    return answer


def _rest(settings: SearchSettings) -> list[tuple[np.ndarray, np.ndarray]]:
    """The images behind those that judged."""
    from lowbit.zoo import dataset

    assert settings.images is not None
    batches, seen = [], 0
    for batch in dataset(settings.network, "eval").batches(50):
        if seen >= settings.images:
            batches.append((batch.inputs[0], batch.labels))
        seen += len(batch)
    return batches


def _pictures(name: str, found: Mapping[str, Any], chosen: int) -> None:
    from lowbit.searching.show import save_picture

    IMAGES.mkdir(parents=True, exist_ok=True)
    for what in ("front", "hypervolume", "plan"):
        save_picture(dict(found), IMAGES / f"search-{name}-{what}.png", what, chosen)


def strategies() -> dict[str, Any]:
    """Every strategy with five seeds on a space that brute force enumerates."""
    from lowbit.searching.compare import compare_strategies
    from lowbit.searching.show import conclusions, save_comparison_picture

    found = compare_strategies(settings_of("strategies"), [20, 50, 100], range(5), COMPARED, True, print)
    IMAGES.mkdir(parents=True, exist_ok=True)
    save_comparison_picture(found, IMAGES / "search-strategies.png")
    at = {
        name: {str(n): [run[min(n, len(run)) - 1] for run in one["hypervolume"]] for n in found["trials"]}
        for name, one in found["strategies"].items()
    }
    return {
        "space": found["space"]["size"],
        "network": found["network"],
        "objectives": [objective["name"] for objective in found["objectives"]],
        "optimum": found["optimum"],
        "hypervolume": at,
        "conclusions": conclusions(found),
    }


def trial_time(images: int = 1000, plans: int = 5) -> dict[str, Any]:
    """A trial on compiled kernels beside the same plan under fake quantization in PyTorch: same images, same thread, "
    "in turns."""
    import torch

    import lowbit
    from lowbit.measure.scores import Outcomes, outcomes_of
    from lowbit.searching.described import evaluator_of
    from lowbit.searching.run import measured_plan
    from lowbit.searching.strategies import Problem

    settings = replace(settings_of("resnet20"), images=images, method="nearest", storage=None)
    evaluator = evaluator_of(settings, True, print)
    generator = np.random.default_rng(0)
    torch.set_num_threads(1)
    problem = Problem(evaluator.space, (), (), True, 0, None, evaluator)
    wanted = ("accuracy", "latency", "size")
    batches = list(evaluator.data.batches(50))
    rows = []
    for _ in range(plans):
        plan = {d.name: d.texts[int(generator.integers(len(d.texts)))] for d in evaluator.space.dimensions}
        began = time.perf_counter()
        first = measured_plan(problem, plan, wanted)
        cold = time.perf_counter() - began
        began = time.perf_counter()
        again = measured_plan(problem, plan, wanted)
        warm = time.perf_counter() - began
        began = time.perf_counter()
        chosen = evaluator.numbers.plan(plan)
        fake = lowbit.fake_quantize(evaluator.graph, calibration=evaluator.numbers.calibration, plan=chosen).eval()
        with torch.inference_mode():
            parts = [outcomes_of(fake(torch.from_numpy(b.inputs[0])).numpy(), b.labels) for b in batches]
        slow = time.perf_counter() - began
        equal = Outcomes.joined(parts).top1 == first["metrics"]["accuracy"] == again["metrics"]["accuracy"]
        rows.append({"cold": cold, "warm": warm, "fake": slow, "equal": bool(equal)})
        print(
            f"trial {warm:.2f} s, with kernels to compile {cold:.2f} s, fake quantization {slow:.2f} s, equal {equal}", flush=True
        )
    return {"images": images, "rows": rows, "ratio": float(np.median([row["fake"] / row["warm"] for row in rows]))}


def page_of(parts: Mapping[str, Any]) -> str:
    texts = [_study_text(name, parts[name]) for name in STUDIES if name in parts]
    if "strategies" in parts:
        texts.append(_strategies_text(parts["strategies"]))
    if "trial" in parts:
        texts.append(_trial_text(parts["trial"]))
    return "\n\n".join(texts)


def _study_text(name: str, part: Mapping[str, Any]) -> str:
    facts, rows, count = part["facts"], part["rows"], part["confirming_images"]
    confirm = f", {count:,} others confirm" if count else ", all there are; none is left to confirm"
    others = f" (of the others {100 * part['float']['confirmed']:.2f})" if count else ""
    lines = [
        f"### {STUDIES[name]}",
        "",
        f"`lowbit search benchmarks/search/{name}.toml`: {facts['dimensions']} choices, {facts['space']:.1e} "
        f"plans, {facts['trials']} trials of {facts['strategy']}, seed {facts['seed']}, integers by "
        f"{part['settings']['method']}; "
        f"{facts['machine']}. {facts['images']:,} images judged{confirm}. Wanted: {', '.join(facts['constraints'])}; of "
        f"what is found {100 * part['limit']:.2f} %, half a point below w8a8. "
        f"Float: {100 * part['float']['accuracy']:.2f}{others}.",
        "",
        "| network | top-1 judged | top-1 of the others | beside w8a8 | weights on disk | artifact | bits of weights, "
        "of values | latency, measured | predicted |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label, row in rows.items():
        confirmed = "-" if row["confirmed"] is None else f"{100 * row['confirmed']:.2f} ± {100 * row['top1_error']:.2f}"
        lines.append(
            f"| {label} | {100 * row['accuracy']:.2f} | {confirmed} | "
            f"{100 * row['against_w8a8']:+.2f} ± {100 * row['against_w8a8_error']:.2f} | {row['size']:,} B | {row['file']:,} B | "
            f"{row['average_bitwidth']:.2f}, {row['activation_bitwidth']:.2f} | "
            f"{row['latency']:.4g} ± {row['latency_error']:.1g} ms | {row['predicted']:.4g} ms |"
        )
    found, least = rows[part["chosen"]], rows[part["smallest_uniform"]]
    off, middle = part["predictions"], float(np.median(part["predictions"]))
    lines += [
        "",
        f"The plan found is {100 * (1 - found['size'] / least['size']):.0f} % smaller than {part['smallest_uniform']}, the "
        f"smallest network of one width that holds to the same, and takes {found['latency'] / least['latency']:.2f} of its time "
        f"(measured in turns, one run). Whole networks against their prediction from kernels: median {100 * middle:+.1f} %, "
        f"{100 * min(off):+.1f} to {100 * max(off):+.1f} % over {len(off)} members of the front.",
        "",
        f"![the front](images/search-{name}-front.png)",
        "",
        f"![bits of every layer](images/search-{name}-plan.png)",
    ]
    return "\n".join(lines)


def _strategies_text(part: Mapping[str, Any]) -> str:
    counts = list(next(iter(part["hypervolume"].values())))
    lines = [
        "### Strategies on a space that is known",
        "",
        f"{part['network']}, {part['space']:,} plans, objectives {', '.join(part['objectives'])}; hypervolume in % of "
        f"that of the whole "
        "space, median (least to largest) over seeds (`lowbit compare-strategies benchmarks/search/strategies.toml`).",
        "",
        "| strategy | " + " | ".join(f"{n} trials" for n in counts) + " |",
        "| --- |" + " ---: |" * len(counts),
    ]
    best = (part["optimum"] or {}).get("hypervolume")
    for name, held in part["hypervolume"].items():
        cells = []
        for n in counts:
            values = 100 * np.asarray(held[n]) / best if best else np.asarray(held[n])
            spread = f" ({values.min():.1f} to {values.max():.1f})" if len(values) > 1 else ""
            cells.append(f"{np.median(values):.1f}{spread}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        *(f"- {text.strip()}" for text in part["conclusions"] if "cannot be told apart" not in text),
        "- all other pairs cannot be told apart with these seeds",
        "",
        "![hypervolume against trials](images/search-strategies.png)",
    ]
    return "\n".join(lines)


def _trial_text(part: Mapping[str, Any]) -> str:
    rows: Sequence[Mapping[str, float]] = part["rows"]
    warm, cold, fake = (float(np.median([row[key] for row in rows])) for key in ("warm", "cold", "fake"))
    return (
        "### What a trial costs\n\n"
        f"ResNet-20, {part['images']:,} images, one thread, {len(rows)} random plans, in turns in one process, "
        f"medians: {warm:.2f} s on "
        f"compiled kernels ({cold:.2f} s where kernels had to be compiled and timed first), {fake:.1f} s under fake "
        f"quantization in "
        f"PyTorch: {part['ratio']:.0f} times as fast, with "
        f"{'equal' if all(row['equal'] for row in rows) else 'UNEQUAL'} accuracy."
    )


def write_page(parts: Mapping[str, Any]) -> None:
    write_between(PAGE, "search", page_of(parts))


def main() -> None:
    import os

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"comma-separated parts: {', '.join(STUDIES)}, strategies, trial")
    parser.add_argument("--trials", type=int, help="of the studies; default: as in benchmarks/search/*.toml")
    parser.add_argument("--fresh", action="store_true", help="measure parts again that are finished")
    parser.add_argument("--page", action="store_true", help="only write docs/search.md from what is measured")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    results = Results(RESULTS)
    if not given.page:
        results.begin({"machine": machine(), "versions": versions(), "commit": commit()}, resume=not given.fresh)
        data = bool(os.environ.get("LOWBIT_DATA"))
        wanted = [part for part in given.only.split(",") if part] or [*STUDIES, "strategies", "trial"]
        for name in wanted:
            if results.done(name):
                continue
            if not data and name != "strategies":
                print(f"{name}: needs LOWBIT_DATA")
                continue
            made = {"strategies": strategies, "trial": trial_time}.get(name)
            results.put(name, made() if made else study(name, given.trials))
            print(f"{name}: done", flush=True)
    write_page(results.parts)


if __name__ == "__main__":
    main()

"""Small results and comparisons as a search would give them, of a formula instead of a network."""

from __future__ import annotations

import random
from typing import Any

OBJECTIVES = [
    {"name": "accuracy", "direction": "maximize", "scale": 1.0, "unit": "", "kind": "software"},
    {"name": "latency", "direction": "minimize", "scale": 0.1, "unit": "ms", "kind": "hardware"},
    {"name": "size", "direction": "minimize", "scale": 1e-6, "unit": "B", "kind": "hardware"},
    {"name": "average_bitwidth", "direction": "minimize", "scale": 0.01, "unit": "bits", "kind": "hardware"},
]
METRICS: dict[str, dict[str, str]] = {
    "accuracy": {"unit": "", "kind": "software", "direction": "maximize", "what": "top-1 of the compiled network"},
    "loss": {"unit": "nats", "kind": "software", "direction": "minimize", "what": "cross entropy"},
    "latency": {"unit": "ms", "kind": "hardware", "direction": "minimize", "what": "sum of the layers' times"},
    "size": {"unit": "B", "kind": "hardware", "direction": "minimize", "what": "bytes of the artifact"},
    "bit_operations": {"unit": "", "kind": "hardware", "direction": "minimize", "what": "MACs times both widths"},
    "average_bitwidth": {"unit": "bits", "kind": "hardware", "direction": "minimize", "what": "over parameters"},
}
NAMES = ["<b>conv1</b>", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "fc"]
ERRORS = {"accuracy": 0.008, "latency": 0.01}


def dominates(first: dict[str, Any], second: dict[str, Any], objectives: list[dict[str, Any]]) -> bool:
    gaps = []
    for o in objectives:
        sign = 1 if o["direction"] == "maximize" else -1
        gaps.append(sign * (first["metrics"][o["name"]] - second["metrics"][o["name"]]))
    return min(gaps) >= 0 and max(gaps) > 0


def metrics_of(plan: list[tuple[int, int]], macs: list[int], parameters: list[int]) -> dict[str, float | int]:
    loss = sum(2.0 ** (-w) + 0.5 * 2.0 ** (-a) for w, a in plan) / len(plan)
    return {
        "accuracy": round(0.95 - 0.9 * loss, 3),
        "loss": 0.2 + loss,
        "latency": sum(m * (0.4 + w * a / 64) for (w, a), m in zip(plan, macs, strict=True)) / 1e7,
        "size": sum(p * w // 8 for (w, _), p in zip(plan, parameters, strict=True)),
        "bit_operations": sum(m * w * a for (w, a), m in zip(plan, macs, strict=True)) * 10**12,
        "average_bitwidth": sum(p * w for (w, _), p in zip(plan, parameters, strict=True)) / sum(parameters),
    }


def study(
    objectives: int = 2, trials: int = 40, constraint: float | None = 0.8, mode: str = "pareto", seed: int = 0, layers: int = 6
) -> dict[str, Any]:
    """``constraint``: least accuracy.  Trial 1 failed, trial 2 lacks its latency, the last one waits; names hold markup."""
    chance = random.Random(seed)
    names = [NAMES[i] if i < len(NAMES) else f"layer{i}" for i in range(layers)]
    macs = [(i + 1) * 1_000_000 for i in range(layers)]
    parameters = [500 * 2 ** min(i, 10) for i in range(layers)]
    wanted = OBJECTIVES[:objectives]
    rows: list[dict[str, Any]] = []
    text = f"accuracy >= {constraint}"
    for number in range(trials):
        plan = [(chance.randint(2, 8), chance.choice((4, 8))) for _ in names]
        metrics = metrics_of(plan, macs, parameters)
        row: dict[str, Any] = {
            "number": number,
            "state": "complete",
            "params": {f"{name} weights": w for name, (w, _) in zip(names, plan, strict=True)},
            "layers": {name: [f"i{w}", f"u{a}"] for name, (w, a) in zip(names, plan, strict=True)},
            "metrics": metrics,
            "errors": dict(ERRORS),
            "scaled": {o["name"]: o["scale"] * metrics[o["name"]] for o in wanted},
            "constraints": {} if constraint is None else {text: constraint - metrics["accuracy"]},
            "feasible": constraint is None or metrics["accuracy"] >= constraint,
            "front": False,
            "ties": [],
            "measured": {"latency": 1.04 * metrics["latency"]} if number % 10 == 3 else {},
            "seconds": 1.5,
        }
        if number == 1:
            row |= {"state": "failed", "metrics": {}, "errors": {}, "scaled": {}, "constraints": {}, "feasible": False}
        if number == trials - 1 and number > 2:
            row |= {
                "state": "waiting",
                "metrics": {},
                "errors": {},
                "layers": {},
                "scaled": {},
                "constraints": {},
                "feasible": False,
            }
        rows.append(row)
    done = [row for row in rows if row["state"] == "complete" and row["feasible"]]
    for row in done:
        row["front"] = not any(dominates(other, row, wanted) for other in done)
        row["ties"] = [
            other["number"]
            for other in done
            if other is not row
            and all(abs(other["metrics"][o["name"]] - row["metrics"][o["name"]]) <= ERRORS.get(o["name"], 0) for o in wanted)
        ]
    if trials > 4:
        missing = next((row for row in rows[2:-1] if not row["front"]), None)
        if missing is not None:
            missing["metrics"] = {k: v for k, v in missing["metrics"].items() if k not in ("latency", "loss")}
            missing["errors"] = {"accuracy": 0.008}
            missing["scaled"] = {k: v for k, v in missing["scaled"].items() if k != "latency"}
    volume, hypervolume = 0.0, []
    for row in rows:
        if row["state"] == "complete":
            volume = max(volume, row["metrics"]["accuracy"] * (2 - row["metrics"].get("latency", 2)))
            hypervolume.append(volume)
    uniform = [
        {"name": name, "metrics": metrics_of([(w, a)] * layers, macs, parameters), "errors": dict(ERRORS)}
        for name, w, a in (("w8a8", 8, 8), ("w4a4", 4, 4), ("<i>w2a4</i>", 2, 4))
    ]
    return {
        "study": "s<b>",
        "network": "<b>resnet20</b>",
        "data": "eval.npz, 1,000 images",
        "images": 1000,
        "strategy": "nsga2",
        "seed": seed,
        "machine": "AMD EPYC",
        "threads": 1,
        "storage": "sqlite:///s.db",
        "facts": {"repeats": "5 of 20 ms"},
        "mode": mode,
        "objectives": wanted,
        "metrics": METRICS,
        "constraints": [] if constraint is None else [text],
        "space": {
            "size": 7**60,
            "dimensions": [
                {"name": f"{n} weights", "kind": "weights", "layers": [n], "choices": list(range(2, 9))} for n in names
            ],
            "layers": [
                {"name": n, "op": "conv2d", "parameters": p, "macs": m} for n, p, m in zip(names, parameters, macs, strict=True)
            ],
        },
        "trials": rows,
        "uniform": uniform,
        "hypervolume": [] if objectives == 1 or mode == "weighted" else hypervolume,
        "command": "lowbit compile --from sqlite:///s.db --trial {number} -o best.lowbit",
    }


def comparison(
    levels: dict[str, float] | None = None, seeds: int = 5, trials: int = 30, spread: float = 0.01, noise: float | None = 0.002
) -> dict[str, Any]:
    """Strategies whose best value climbs to ``levels`` up to a spread, larger is better; optimum 1."""
    chance = random.Random(3)
    strategies: dict[str, Any] = {}
    for name, level in (levels or {"tpe": 0.9, "<b>random</b>": 0.7, "nsga2": 0.9}).items():
        best, volume = [], []
        for _ in range(seeds):
            top = level + chance.uniform(-spread, spread)
            best.append([top - 0.3 / (1 + i) for i in range(trials)])
            volume.append([2 * number for number in best[-1]])
        strategies[name] = {"best": best, "hypervolume": volume, "seconds": [3.0] * seeds}
    return {
        "network": "<b>resnet20</b>",
        "data": "eval.npz",
        "objectives": OBJECTIVES[:2],
        "trials": [10, trials],
        "seeds": list(range(seeds)),
        "space": {"size": 7**40},
        "strategies": strategies,
        "best_direction": "maximize",
        "optimum": {"best": 1.0, "hypervolume": 2.0},
        "noise": None if noise is None else {"best": noise, "hypervolume": 2 * noise},
    }

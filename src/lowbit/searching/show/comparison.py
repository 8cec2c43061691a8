"""Search strategies compared: a table, and in words only what the spread over seeds allows."""

from __future__ import annotations

import math
from statistics import median

from rich import box
from rich.table import Table
from rich.text import Text

from lowbit.reporting.wording import count
from lowbit.searching.show.figures import amount, plain
from lowbit.searching.show.series import (
    LEAST_SEEDS,
    LEVEL,
    Comparison,
    constant,
    direction,
    least_p,
    measures,
    middle,
    optimum,
    pairs,
    reached,
    tested,
)
from lowbit.searching.show.shapes import finite

__all__ = ["comparison_table", "conclusions", "ranking", "table_rows"]


def ranking(comparison: Comparison, measure: str, trials: int) -> list[str]:
    """Strategies with seeds, the best median first; equal ones by name."""
    known = {name: m for name in comparison["strategies"] if (m := middle(comparison, name, measure, trials)) is not None}
    sign = -1 if direction(comparison, measure) == "maximize" else 1
    return sorted(known, key=lambda name: (sign * known[name][0], name))


def table_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Headings, and the cells of every measure, budget and strategy: median, least and most over seeds; regret of the
    median and the worst seed; trials until the regret was within the noise, as the median over seeds."""
    known = any(optimum(comparison, measure) is not None for measure in measures(comparison))
    head = ["measure", "trials", "strategy", "seeds", "median", "least", "most"]
    head += ["regret", "worst regret", "trials to the optimum"] if known else []
    rows = []
    for measure in measures(comparison):
        best = optimum(comparison, measure)
        for budget in comparison["trials"]:
            for name in ranking(comparison, measure, budget):
                mid, low, high = middle(comparison, name, measure, budget) or (math.nan,) * 3
                row = [
                    measure,
                    str(budget),
                    name,
                    str(len(comparison["strategies"][name][measure])),
                    plain(mid),
                    plain(low),
                    plain(high),
                ]
                if known:
                    worst = low if direction(comparison, measure) == "maximize" else high
                    row += (
                        ["-"] * 3
                        if best is None
                        else [plain(abs(best - mid)), plain(abs(best - worst)), _sooner(comparison, name, measure)]
                    )
                rows.append(row)
    return head, rows


def _sooner(comparison: Comparison, strategy: str, measure: str) -> str:
    """Median over seeds, those that never got there counted as later than any."""
    after = [math.inf if n is None else n for n in reached(comparison, strategy, measure)]
    if not after:
        return "-"
    there = sum(n < math.inf for n in after)
    middle_one = median(after)
    return (f"{middle_one:g}" if middle_one < math.inf else "not reached") + (
        f" ({there} of {len(after)})" if there < len(after) else ""
    )


def comparison_table(comparison: Comparison) -> Table:
    """For the terminal: `table_rows`."""
    head, rows = table_rows(comparison)
    table = Table(
        title=Text(f"{comparison['network']}: strategies over {count(len(comparison['seeds']), 'seed')}"), box=box.SIMPLE_HEAD
    )
    for heading in head:
        table.add_column(heading, justify="left" if heading in ("measure", "strategy") else "right")
    before = None
    for row in rows:
        if before is not None and before != row[:2]:
            table.add_section()
        before = row[:2]
        table.add_row(*map(Text, row))
    return table


def conclusions(comparison: Comparison) -> list[str]:
    """Of every measure and budget: the order of the medians, which strategies differ, and which cannot be told apart.

    Two differ if a two-sided Mann-Whitney U test over seeds, corrected by Holm's method over the pairs of a budget, gives
    p < 0.05 and their medians lie further apart than the noise of one evaluation.  Raises ToolMissing without scipy."""
    size, seeds = comparison["space"].get("size"), len(comparison["seeds"])
    lines = [
        f"{count(len(comparison['strategies']), 'strategy').replace('strategys', 'strategies')}, {count(seeds, 'seed')}"
        + (f", a space of {amount(size)} plans" if size else "")
        + f"; {comparison['data']}"
    ]
    if not measures(comparison):
        return [*lines, "no strategy has finished a trial: nothing can be compared"]
    for measure in measures(comparison):
        lines += _tests(comparison, measure)
        noise = finite((comparison.get("noise") or {}).get(measure))
        lines.append(f"{measure}: noise of one evaluation {'unknown, taken as none' if noise is None else plain(noise)}")
        for budget in comparison["trials"]:
            lines += _at(comparison, measure, budget)
    return lines


def _tests(comparison: Comparison, measure: str) -> list[str]:
    """What the tests can say, before what they say."""
    lines, able = [], tested(comparison, measure)
    seeds = {name: len(s.get(measure) or ()) for name, s in comparison["strategies"].items()}
    few = [name for name in seeds if name not in able]
    if len(able) < 2:
        lines.append(
            f"{measure}: with {count(sorted(seeds.values())[-2:][0], 'seed')} no test can conclude: at least {LEAST_SEEDS} "
            "of two strategies are needed; the orders below are those of these runs only"
        )
    elif few:
        lines.append(f"{measure}: fewer than {LEAST_SEEDS} seeds, shown and not tested: {', '.join(few)}")
    if same := [name for name in able if constant(comparison, name, measure)]:
        lines.append(
            f"{measure}: the same run for every seed, one observation: {', '.join(same)}; others are tested against it by signs"
        )
    if len(able) > 1 and (smallest := least_p(comparison, measure)) >= LEVEL:
        lines.append(
            f"{measure}: with {count(min(seeds[name] for name in able), 'seed')} and so many pairs no difference can reach "
            f"p < {LEVEL:g} (the smallest possible is {smallest:.2g}); more seeds or fewer strategies would"
        )
    return lines


def _at(comparison: Comparison, measure: str, budget: int) -> list[str]:
    order = ranking(comparison, measure, budget)
    texts = []
    for name in order:
        found = middle(comparison, name, measure, budget)
        texts.append(f"{name} {plain(found[0])} ({plain(found[1])} to {plain(found[2])})" if found else name)
    lines = [f"{measure} after {count(budget, 'trial')}, by median: {', '.join(texts)}"]
    alike = []
    for pair in pairs(comparison, measure, budget):
        ahead, behind = sorted((pair.first, pair.second), key=order.index)
        apart = f"p = {pair.p:.2g}" + ("" if math.isinf(pair.gap) else f", medians {plain(abs(pair.gap))} apart")
        if pair.different:
            lines.append(f"  {ahead} is ahead of {behind} ({apart})")
        else:
            alike.append(f"{ahead} and {behind} ({apart})")
    if alike:
        lines.append(f"  cannot be told apart with these seeds: {'; '.join(alike)}")
    if (best := optimum(comparison, measure)) is not None:
        regrets = [
            f"{name} {plain(abs(best - found[0]))}" for name in order if (found := middle(comparison, name, measure, budget))
        ]
        lines.append(f"  regret of the median to the optimum {plain(best)}: {', '.join(regrets)}")
    return lines

"""What a campaign found, as text."""

from __future__ import annotations

from lowbit.graph.ops import OPS
from lowbit.kernels.conv2d.forms import FORMS
from lowbit.numerics.qtype import WIDTHS
from tests.fuzz.coverage import Coverage
from tests.fuzz.modules import overloads
from tests.fuzz.state import State

__all__ = ["coverage_table", "document", "never_reached", "summary"]


def summary(state: State) -> str:
    """Cases, time, refusals by their words, findings."""
    lines = ["", "kind       cases      minutes of a core   a second"]
    for kind, cases in sorted(state.cases.items()):
        seconds = state.seconds[kind]
        lines.append(f"{kind:10} {cases:<10,} {seconds / 60:<19.1f} {cases / max(seconds, 1e-9):.1f}")
    lines.append(f"\nrefused {sum(state.refused.values()):,} times; most often:")
    lines += [f"{count:8,} {text}" for text, count in state.refused.most_common(12)]
    lines.append(f"\nfindings: {len(state.failures)}")
    lines += [f"  {failure.origin}: {state.folder / failure.file}" for failure in state.failures]
    return "\n".join(lines)


def never_reached(coverage: Coverage) -> str:
    """Cells of the tables that no case drew: spellings of operations, operations by rank, forms, widths."""
    modules = coverage.counts("module", "operation")
    spellings = [s for all_of_one in overloads().values() for s in all_of_one if (s,) not in modules]
    kernels = coverage.counts("compiled", "form")
    forms = [name for name in FORMS if not any(key[0].endswith(f":{name}") for key in kernels)]
    widths = coverage.counts("compiled", "width")
    weights = {key[0].partition("x")[0][1:] for key in widths}
    ranks = coverage.counts("graph", "operation", "rank")
    cells = [
        f"{op} of rank {rank}"
        for op in OPS
        for rank in range(7)
        if not any(k == (op, str(rank)) or (k[0].startswith(f"{op} ") and k[1] == str(rank)) for k in ranks)
    ]
    return "\n".join(
        [
            "",
            f"never reached, spellings of operations: {', '.join(spellings) or 'none'}",
            f"never reached, forms of convolutions: {', '.join(forms) or 'none'}",
            f"never reached, widths of weights: {', '.join(str(w) for w in WIDTHS if str(w) not in weights) or 'none'}",
            f"never reached, operations by rank: {', '.join(cells) or 'none'}",
        ]
    )


def document(state: State) -> str:
    """The tables of docs/reliability.md, between its markers."""
    lines = ["| kind | cases without a mismatch | minutes of a core | a second and core |", "| --- | --- | --- | --- |"]
    for kind, cases in sorted(state.cases.items()):
        seconds = state.seconds[kind]
        lines.append(f"| {kind} | {cases:,} | {seconds / 60:,.0f} | {cases / max(seconds, 1e-9):.1f} |")
    counts = state.coverage.counts("compiled", "axis")
    lines += ["", "| compiled for | calls of kernels compared |", "| --- | --- |"]
    lines += [f"| {target} | {count:,} |" for (target,), count in sorted(counts.items()) if "-" in target or target == "aarch64"]
    return "\n".join(lines)


def coverage_table(coverage: Coverage, kind: str) -> str:
    """Operation x rank, counts."""
    counts = coverage.counts(kind, "operation", "rank")
    operations = sorted({operation for operation, _ in counts})
    lines = [f"{'':28}" + "".join(f"rank {rank:<6}" for rank in range(7))]
    lines += [f"{op:28}" + "".join(f"{counts[(op, str(rank))] or '.':<11}" for rank in range(7)) for op in operations]
    return "\n".join(lines)

"""docs/benchmarks.md out of what the benchmarks wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.results_file import Results, beside

from lowbit.measure.load import BUSY_CORES, is_busy
from lowbit.reporting.peer_tables import Part, busy_text, group_table, groups_of, markdown_table, summary_table
from lowbit.reporting.ratios import FLOAT_BOUND
from lowbit.targets import TECHNIQUES

__all__ = ["ablation_text", "page"]

_HOW = f"""\
## How it was measured

`make bench` wrote this page; rerunning it needs no editing. Every table is one process: all its rows are compiled and
checked first, then timed in turns, a few calls each, round after round, so that a busy moment falls on all of them.
Times are medians of wall-clock time of one run of the whole network. Weights and inputs are random with fixed seeds: they
show that the arithmetic is right and how fast it is, not how accurate a trained network would be; of a random network's
signal, two bits and one bit keep hardly anything.

A table whose rows were timed while other work kept more than {BUSY_CORES} cores busy says so in bold.

## How to read it

- **config**: bits of weights and activations / the type weights are stored in; `w4a8` has 4-bit weights and 8-bit
  activations. The first convolution and the last linear layer stay at 8 bits. `runtime/...` is another runtime.
- **x peer**: how many times as fast as the fastest other runtime in the same table: float32 beside float32, everything else
  beside int8, as other runtimes run nothing narrower on this CPU. Above 1 is faster.
- **x fp32**: how many times as fast as the same runtime's float32.
- **GMAC/s**: multiplications with addition of the network, as the float network counts them, over the time; an algorithm
  that needs fewer is rated higher.
- **check**: `exact` means every output integer equals that of the reference interpreter (on 2 to 8 images; as many as take
  seconds). A float32 row shows its largest difference from the float64 network, relative to the largest output: bold above
  {FLOAT_BOUND:.0e}. int8 of other runtimes has no right answer to be compared with: its cosine with the float network is shown.
- **MB**: everything on disk: weights, code, description.
- 16 bits are there for accuracy: exact 16 x 16-bit products take two multiplications each, which makes them slower than float.
- Fewer bits: on CPUs with VNNI one instruction multiplies any 8-bit operands; 7 bits and fewer gain because two products fit
  one multiplication, 6 and fewer because Winograd's convolution fits bytes; 2 bits and 1 bit use look-ups and bit counts.
  Beside 4-bit weights bytes end at 240 (decision 40), so that `w4a8` has two products in one multiplication, too. On AVX2
  every bit less is faster (decisions 9, 11, 12, 42).
"""


def _facts(data: Mapping[str, Any]) -> str:
    facts = data["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"- machine: {facts['machine']}; kernels for {facts['target']}\n- versions: {versions}\n"
        f"- commit: {facts['commit'] or 'not a checkout'}\n"
        f"- load average when the run started: {facts['load']:.2f} on {facts['cores']} cores\n"
    )


def _age(results: Results, part: Part) -> str:
    """A line for a part that the last run did not measure; "" for those it did."""
    if part["run"] == results.data["run"]:
        return ""
    return f"\nOf an earlier run, {part['run'][:10]}, commit {part['commit'] or 'unknown'}.\n"


def _groups(results: Results) -> str:
    parts = groups_of(results.parts)
    if not parts:
        return ""
    what = "Median ms of one run and, in brackets, how many times as fast as the fastest other runtime of the same table."
    text = f"## All networks\n\n{what}\n\n{summary_table(parts)}"
    for part in parts:
        threads = f"{part['threads']} thread{'s' if part['threads'] > 1 else ''}"
        text += f"\n## {part['network']}, batch {part['batch']}, {threads}\n\n{group_table(part)}{_age(results, part)}"
    return text


def _ablation(results: Results) -> str:
    part = results.parts.get("ablation")
    return "" if part is None else f"## What each technique gives\n\n{ablation_text(part)}{_age(results, part)}"


def ablation_text(part: Part) -> str:
    """The table of benchmarks/ablation.py."""
    variants = [*TECHNIQUES, "everything"]
    lines = []
    for row in part["rows"]:
        cells = [row["config"], f"{row['median_ms']:.2f}"]
        for name in variants:
            variant = row["without"].get(name)  # None, too, where the results are older than the technique
            slower = variant and variant["median_ms"] / row["median_ms"]
            cells.append(f"{variant['median_ms']:.2f} ({slower:.2f}x)" if variant else "-")
        wrong = any(variant and not variant["right"] for variant in (row, *row["without"].values()))
        lines.append([*cells, "**WRONG**" if wrong else row["check"]])
    what = "; ".join(f"{name}: {text}" for name, text in TECHNIQUES.items())
    busy = f"\n**{busy_text(part)}**\n" if is_busy(part) else ""
    return (
        f"{part['network']}, batch 1, {part['threads']} thread, for {part['target']}: median ms with everything, then with one "
        f"technique switched off, and with all of them off; in brackets, times as long. `-`: the network does not use it. "
        f"The cost model chooses every kernel here, no measurement, so that all columns are chosen alike. {what}. "
        "`check`: all columns of the row give the same integers as the reference interpreter (float32: stay within "
        f"{FLOAT_BOUND:.0e} of float64). The same by hand: `LOWBIT_WITHOUT=winograd,pairs lowbit bench ...`.\n\n"
        + markdown_table(("config", "all on", *(f"no {name}" for name in TECHNIQUES), "none of them", "check"), lines)
        + busy
    )


def _avx2(results: Results) -> str:
    part = results.parts.get("avx2")
    if part is None:
        return ""
    found = part["avx2"]
    kernels = ", ".join(f"{name} ({count})" for name, count in found["kernels"].items())
    if found["honoured"]:
        verdict = f"The limit holds: the kernels it reports for int8 are {kernels}."
    else:
        verdict = f"The limit does **not** hold everywhere: the kernels it reports for int8 are {kernels}."
    return (
        f"## With AVX2 alone\n\n{part['network']}, batch {part['batch']}, {part['threads']} thread, in a process of its own: "
        f"lowbit compiled for `x86-64-v3`, OpenVINO with `ONEDNN_MAX_CPU_ISA=AVX2`. {verdict} onnxruntime cannot be held to "
        f"AVX2 and is left out. CPU and clock are those of this machine, which has more than AVX2.\n\n{group_table(part)}"
        f"{_age(results, part)}"
    )


def _scaling(path: Path, picture: Path) -> str:
    report = beside(path, "scaling")
    if report is None:
        return ""
    lines = [
        [fit["config"], f"{fit['fixed_ms']:.2f}", f"{fit['ms_per_gmac']:.2f}", f"{fit['exponent']:.2f}"] for fit in report["fits"]
    ]
    figure = "\n![ms over GMAC](images/scaling.svg)\n" if picture.exists() else ""
    return (
        f"## Growth with the work\n\n{report['network']}, {report['threads']} threads, batches and image sizes of `benchmarks/"
        "scaling.py`: a straight line through all points, and the power of the multiplications that the time grows with.\n\n"
        + markdown_table(("config", "fixed ms", "ms per GMAC", "power"), lines)
        + figure
    )


def _load(path: Path, _: Path) -> str:
    report = beside(path, "load")
    if report is None:
        return ""
    lines = [
        [row["runtime"], row["config"], f"{row['bytes'] / 1e6:.1f}"]
        + [f"{row[key]:.1f}" for key in ("import_ms", "load_ms", "first_run_ms")]
        + [f"{row['peak_bytes'] / 1e6:.0f}"]
        for row in report["rows"]
    ]
    return (
        f"## Start and memory\n\n{report['network']}, batch 1, {report['threads']} threads, medians over processes of their own "
        "(`benchmarks/load.py`): import the runtime, open the file, run one input; the peak is of resident memory.\n\n"
        + markdown_table(("runtime", "config", "file MB", "import ms", "load ms", "first run ms", "peak MB"), lines, 2)
    )


def _tuning(path: Path, _: Path) -> str:
    report = beside(path, "tuning")
    if report is None:
        return ""
    lines = [
        [
            *(str(row[key]) for key in ("network", "config", "target", "threads")),
            *(f"{row[key] / 1e3:.2f}" for key in ("default_us", "tuned_us")),
            f"{row['gap']:.1f} %",
        ]
        for row in report["rows"]
    ]
    return (
        "## Measured and estimated choice of kernels\n\nThe sum of all convolutions with the cost model's choice and with the "
        "measured one (`benchmarks/tune_defaults.py`), and how much longer the model's takes.\n\n"
        + markdown_table(("network", "config", "target", "threads", "estimated ms", "measured ms", "gap"), lines, 3)
    )


_OF_RESULTS: tuple[Callable[[Results], str], ...] = (_groups, _ablation, _avx2)
_OF_FILES: tuple[Callable[[Path, Path], str], ...] = (_scaling, _load, _tuning)


def page(results: Results, folder: Path) -> str:
    """The whole page, to be written into ``folder``; sections of benchmarks that were never run are left out."""
    picture = folder / "images" / "scaling.svg"
    sections = [section(results) for section in _OF_RESULTS] + [section(results.path, picture) for section in _OF_FILES]
    head = f"# Benchmarks\n\nWritten by `make bench`; do not edit by hand.\n\n{_facts(results.data)}"
    return "\n".join([head, _HOW, *filter(None, sections)])

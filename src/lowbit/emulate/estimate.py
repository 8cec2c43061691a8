"""Cycles of executed blocks by llvm-mca: what a core takes when every load hits its first-level cache.

A block's cycles are those of 100 repetitions of it divided by 100, which is exact for the inner loops where
the time goes; blocks that run between loops are counted as if repeated, too.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping

from lowbit.emulate.blocks import Block
from lowbit.emulate.tools import find_llvm
from lowbit.errors import LowbitError
from lowbit.files import scratch_folder

__all__ = ["block_cycles", "can_estimate", "total_cycles"]

_REPEAT = 100
_COVERED = 0.999  # of the instructions executed; the blocks left over get the average of the others
_NOP = 0xD503201F
_TRIPLE = {"llvm-mc": "--triple=aarch64-linux-gnu", "llvm-mca": "--mtriple=aarch64-linux-gnu"}


def can_estimate() -> bool:
    """Whether llvm-mca and llvm-mc are installed and new enough (apt-get install llvm-19)."""
    return find_llvm("llvm-mca") is not None and find_llvm("llvm-mc") is not None


def _tool(name: str, arguments: list[str], text: str) -> str:
    with scratch_folder() as folder:
        path = folder / "input.s"
        path.write_text(text)
        command = [str(find_llvm(name)), _TRIPLE[name], *arguments, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise LowbitError(f"{name} failed: {done.stderr.strip()[:500]}")
    return done.stdout


def _assembly(words: Iterable[int]) -> dict[int, str]:
    """Instruction words as assembly; those that llvm-mc does not know are missing."""
    wanted = sorted(set(words) - {_NOP})
    lines = []
    for word in wanted:  # a nop behind each word, so that one left out is noticed
        lines += [" ".join(f"0x{byte:02x}" for byte in w.to_bytes(4, "little")) for w in (word, _NOP)]
    text = _tool("llvm-mc", ["--disassemble", "--mattr=+v8.2a,+dotprod,+fullfp16,+crypto"], "\n".join(lines) + "\n")
    found = {_NOP: "nop"}
    position, pending = 0, ""
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("."):
            continue
        if line == "nop":
            if pending:
                found[wanted[position]] = pending
            position, pending = position + 1, ""
        else:
            pending = line
    return found


def block_cycles(blocks: Iterable[Block], cpu: str) -> dict[Block, float]:
    """Cycles of one pass through each block on ``cpu`` (llvm-mca's name).  Raises LowbitError if llvm-mca fails."""
    known = list(dict.fromkeys(blocks))
    if not known:
        return {}
    assembly = _assembly(word for block in known for word in block.words)
    regions = []
    for index, block in enumerate(known):
        body = [assembly[word] for word in block.words if word in assembly] or ["nop"]
        regions += [f"# LLVM-MCA-BEGIN {index}", *body, "# LLVM-MCA-END"]
    arguments = [f"--mcpu={cpu}", f"--iterations={_REPEAT}", "--json"]
    report = json.loads(_tool("llvm-mca", arguments, "\n".join(regions) + "\n"))
    cycles = {int(region["Name"]): region["SummaryView"]["TotalCycles"] / _REPEAT for region in report["CodeRegions"]}
    return {block: cycles[index] for index, block in enumerate(known)}


def total_cycles(times: Mapping[Block, int], cpu: str, known: dict[Block, float]) -> float:
    """Cycles of all executions of all blocks.  ``known``: cycles of blocks already asked for; grows."""
    work = sorted(times, key=lambda block: -times[block] * len(block.words))
    total = sum(n * len(block.words) for block, n in times.items())
    hot, covered = [], 0
    for block in work:
        if covered >= _COVERED * total:
            break
        hot.append(block)
        covered += times[block] * len(block.words)
    known.update(block_cycles([block for block in hot if block not in known], cpu))
    cycles = sum(times[block] * known[block] for block in hot)
    return cycles * total / covered if covered else 0.0

"""``lowbit inspect``: a compiled network as text, and whether its claims hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.cli.console import note, results

if TYPE_CHECKING:
    from lowbit.runtime.compiled import Compiled

__all__ = ["command"]


def command(
    artifact: Annotated[Path, typer.Argument(help="NAME.lowbit")],
    stage: Annotated[str | None, typer.Option(help="graph, quantized, program, tensorir, llvm, asm; cuda, ptx, sass.")] = None,
    layer: Annotated[str, typer.Option(help="Only this layer; a glob such as 'layer1.*' may name several.")] = "",
    verify: Annotated[bool, typer.Option("--verify", help="Check the claims; exit status 1 if one does not hold.")] = False,
    expect: Annotated[str | None, typer.Option(help="BLAKE2b-256 that the artifact must have (b2sum -l 256).")] = None,
) -> None:
    """Show what each layer stores and runs, one stage's text, or check the claims with --verify."""
    from lowbit.reporting.layers import layer_reports, layer_table
    from lowbit.reporting.stages import stage_text
    from lowbit.runtime import load

    compiled = load(artifact, expect=expect)
    if stage is not None:
        sys.stdout.write(stage_text(compiled, stage, layer))
    if stage is None and not verify:
        manifest = compiled.manifest
        sizes = {name: manifest[f"{name}_bytes"] for name in ("weight", "constant", "arena")}
        sizes["library"] = len(compiled.section("library.so"))
        title = f"{compiled.name} for {manifest['target']['name']}; bytes: " + ", ".join(f"{k} {v:,}" for k, v in sizes.items())
        results().print(layer_table(title, layer_reports(compiled, layer)))
        results().print(f"BLAKE2b-256 {compiled.digest}", soft_wrap=True)
    if verify:
        _verify(artifact, compiled)


def _verify(artifact: Path, compiled: Compiled) -> None:
    from lowbit.reporting.gpu_code import has_nvdisasm
    from lowbit.reporting.kernel_texts import can_generate
    from lowbit.reporting.verify import checks_of, verify

    findings = verify(compiled)
    for finding in findings:
        note(f"FAILED {finding}")
    if findings:
        raise typer.Exit(1)
    done = [name for name in checks_of(compiled) if name != "code" or can_generate()]
    skipped = "" if can_generate() else " (code: not checked, TVM is not installed)"
    if compiled.target.arch and not has_nvdisasm():
        skipped += " (integer: not checked, nvdisasm is not installed: pip install 'lowbit[cuda]')"
    results().print(f"{artifact}: verified {', '.join(done)}{skipped}")

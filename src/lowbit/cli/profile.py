"""``lowbit profile``: where the time goes, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli.console import note, results
from lowbit.cli.files import read_array, write_json
from lowbit.files import check_writable

if TYPE_CHECKING:
    from lowbit.measure.signal import Signal
    from lowbit.profile.result import Profile
    from lowbit.runtime.compiled import Compiled

__all__ = ["command"]


def command(
    artifact: Annotated[Path, typer.Argument(help="NAME.lowbit")],
    inputs: Annotated[list[Path] | None, typer.Argument(help=".npy (or .npz) file of each input; default: random.")] = None,
    against: Annotated[Path | None, typer.Option(help="Another NAME.lowbit: explain how ARTIFACT differs from it.")] = None,
    runs: Annotated[int, typer.Option(help="Timed runs.")] = 20,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    signal: Annotated[bool, typer.Option(help="Interpret the network on random inputs: does its output depend on them?")] = True,
    peaks: Annotated[bool, typer.Option("--peaks", help="Also show what every kernel form and the memory reach here.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure this machine's peaks again; the larger value is kept.")] = False,
    roofline: Annotated[Path | None, typer.Option(help="Draw the roofline into this .png or .svg file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures as JSON.")] = None,
) -> None:
    """Time every layer, compare it with what the machine can do, and say in words what bounds the network."""
    from lowbit.errors import ConfigError
    from lowbit.reporting.explain import explain
    from lowbit.reporting.explain_difference import explain_difference, match_layers
    from lowbit.reporting.profile_table import profile_table
    from lowbit.reporting.roofline import check_roofline
    from lowbit.reporting.roofline import roofline as draw
    from lowbit.reporting.wording import wrapped
    from lowbit.runtime import load

    if runs < 1:
        raise ConfigError(f"--runs must be at least 1, got {runs}")
    for path in (json, roofline):
        if path:
            check_writable(path)
    if roofline:
        check_roofline(roofline)
    compiled, other = load(artifact, threads), load(against, threads) if against else None
    given = [read_array(path) for path in inputs or ()]
    profile, found = _profile(compiled, given, runs, fresh, signal)
    out = results()
    out.print(profile_table(profile))
    if peaks:
        out.print(_peaks(compiled, fresh))
    data: dict[str, Any] = {"profile": profile.to_json(), "signal": found and found.to_json()}
    if other is None:
        texts = explain(profile, found)
    else:
        base, base_signal = _profile(other, given, runs, fresh, signal)
        names = (str(against), str(artifact))
        texts = [*explain(profile, found), *explain_difference(base, profile, names, (base_signal, found))]
        data |= {"against": base.to_json(), "against_signal": base_signal and base_signal.to_json()}
        data["matched"] = len(match_layers(base, profile))
    out.print(wrapped("\n\n".join(texts), min(out.width, _TEXT_WIDTH)), markup=False)
    if roofline:
        draw(profile, roofline)
        out.print(f"roofline: {roofline}")
    if json:
        write_json(json, {**data, "explanation": texts})


_TEXT_WIDTH = 130


def _profile(compiled: Compiled, given: list[Any], runs: int, fresh: bool, signal: bool) -> tuple[Profile, Signal | None]:
    from lowbit.measure.signal import check_signal, signal_inputs
    from lowbit.profile.take import take_profile

    samples = signal_inputs(compiled) if signal or not given else []
    arrays, _ = compiled._arrays(tuple(given or samples[0]))
    profile = take_profile(compiled, arrays, runs, fresh=fresh, say=note)
    if not signal:
        return profile, None
    if compiled.manifest["macs"] > _SLOW_MACS:
        note("interpreting the network on two inputs to see whether it is alive; --no-signal leaves that out")
    return profile, check_signal(compiled.graph(), [*([arrays] if given else []), *samples])


_SLOW_MACS = 1e9


def _peaks(compiled: Compiled, fresh: bool) -> Any:
    from lowbit.profile.peaks import measure_peaks
    from lowbit.profile.sequences import plain_sequences
    from lowbit.reporting.profile_table import peaks_table

    target = compiled.target
    measured = measure_peaks(target, compiled.threads, plain_sequences(target), fresh=fresh, say=note)
    forms = {str(loop): rate for loop, rate in measured.multiply.items()}
    return peaks_table(measured.threads, forms, measured.memory, measured.caches)

"""A Profile in plain words: what bounds the network, and why it is as fast as it is."""

from __future__ import annotations

from collections.abc import Callable

from lowbit.measure.signal import Signal
from lowbit.profile.result import SMALL_NS, Profile, ProfiledOperation
from lowbit.reporting.explain_signal import explain_signal
from lowbit.reporting.explain_widths import explain_widths
from lowbit.reporting.forms_in_words import form_words
from lowbit.reporting.wording import count, listed, percent, ratio, size, time, verb

__all__ = ["explain"]

_UNEVEN = 1.3  # median over least time from which runs are called uneven
_LOW = 0.5  # share of its peak under which a layer that computes is called slow
_SLOWER = 1.2  # times float's time at its peak from which a layer is named
_MOST_NAMED = 12  # heaviest operations that get a line each


def explain(profile: Profile, signal: Signal | None = None) -> list[str]:
    """Paragraphs, most important first; a network that is dead says so before anything else.  A pure function."""
    first = explain_signal(signal) if signal is not None and not signal.alive else []
    last = explain_signal(signal) if signal is not None and signal.alive else []
    return [*first, *(text for paragraph in _PARAGRAPHS for text in paragraph(profile)), *last]


def _overview(profile: Profile) -> list[str]:
    text = (
        f"{profile.name}: {time(profile.total_ns)} with {count(profile.threads, 'thread')}, "
        f"{profile.macs / 1e6:,.1f} million multiply-accumulates, {profile.macs / max(profile.total_ns, 1):.1f} GMAC/s."
    )
    if profile.between_ns > 0.1 * profile.fastest_ns:
        share = percent(profile.between_ns / profile.fastest_ns)
        text += f" Of the fastest run, {time(profile.between_ns)} ({share}) pass in no operation: the call itself and its memory."
    texts = [text]
    if profile.total_ns > _UNEVEN * profile.fastest_ns:
        texts.append(
            f"The fastest run took {time(profile.fastest_ns)}: the machine was busy with something else, or its clock changed. "
            "The times of the operations, each a median of its own, suffer less from that than the time of a whole run."
        )
    if profile.no_peaks:
        texts.append(f"Without measured peaks nothing can be said about what bounds a layer: {profile.no_peaks}.")
    return texts


def _heaviest(profile: Profile) -> list[str]:
    chosen = profile.heaviest()
    if not chosen:
        return []
    share = percent(sum(o.ns for o in chosen) / max(profile.sum_ns, 1))
    lines = [f"{len(chosen)} of {count(len(profile), 'operation')} take {share} of the time:"]
    lines += [f"  {o.layer} ({_what(o)}): {time(o.ns)}, {_bound(o)}" for o in chosen[:_MOST_NAMED]]
    if len(chosen) > _MOST_NAMED:
        rest = chosen[_MOST_NAMED:]
        kinds = {bound: sum(o.bound == bound for o in rest) for bound in dict.fromkeys(o.bound for o in rest)}
        lines.append(f"  and {len(rest)} more, {', '.join(f'{n} by {_BOUNDS[bound]}' for bound, n in kinds.items())}")
    return ["\n".join(lines)]


_BOUNDS = {
    "compute": "their multiplications",
    "memory": "memory",
    "writing": "writing results",
    "small": "being called",
    "instructions": "instructions that multiply nothing",
    "unknown": "what no peak is known for",
}


def _what(o: ProfiledOperation) -> str:
    if o.form:
        winograd = "Winograd, " if o.kind == "winograd" else "depthwise, " if o.kind == "depthwise" else ""
        return f"{winograd}{o.types}, {form_words(o.form).instruction}"
    return o.op


def _bound(o: ProfiledOperation) -> str:
    """Why this operation takes its time, as a clause."""
    share, written = o.share_of_peak, o.write_share
    reached = "" if share is None else f"{o.gmacs:.0f} GMAC/s, {percent(share)} of the peak of its instructions"
    if o.saved > 1 and reached:
        allowed = percent(share or 0.0)
        reached = f"effectively {o.gmacs:.0f} GMAC/s ({o.saved:g}x fewer multiplications), {allowed} of what that allows"
    writing = "" if not written or written < 0.1 else f"; scaling, rounding and storing results about {percent(written)}"
    if o.bound == "compute":
        low = share is not None and share < _LOW and o.saved == 1
        return f"compute-bound: {reached}{writing}{'; the rest is outside the multiply loops or waits in them' * low}"
    if o.bound == "memory" and o.memory_ns is not None:
        needed = f"{size(o.bytes or 0)} from {o.level} take {time(o.memory_ns)} at the measured rate"
        if (o.weight_bytes or 0) > (o.bytes or 0) / 2:
            needed += f", {size(o.weight_bytes or 0)} of them weights, streamed from {o.level}"
        return f"memory-bound: {needed}" + (f"; {reached}" if reached else "")
    if o.bound == "writing":
        return f"bound by writing results (about {percent(written or 0.0)} of its time): few products a result; {reached}"
    if o.bound == "small":
        return "too small to be bound by anything but being called" + (f" ({reached})" if reached else "")
    if o.bound == "unknown":
        rate = f"{'effectively ' if o.saved > 1 else ''}{o.gmacs:.0f} GMAC/s"
        return f"{rate}; the peak of {o.form or o.kind} is unknown" + _fewer(o)
    return "multiplies nothing" + ("" if o.bytes_per_ns is None else f"; moves {o.bytes_per_ns:.1f} GB/s")


def _fewer(o: ProfiledOperation) -> str:
    return f"; {o.saved:g}x fewer multiplications than the plain algorithm" if o.saved > 1 else ""


def _shares(profile: Profile) -> list[str]:
    total = max(profile.sum_ns, 1)

    def part(chosen: Callable[[ProfiledOperation], bool]) -> float:
        return sum(o.ns for o in profile if chosen(o)) / total

    shares = {
        "operations that multiply": part(lambda o: o.macs > 0),
        "packing inputs": part(lambda o: o.kind.startswith("pack_")),
        "converting inputs and outputs": part(lambda o: o.kind in ("input", "output")),
    }
    shares["pooling, adding, copying and the like"] = 1.0 - sum(shares.values())
    text = "Time by purpose: " + ", ".join(f"{what} {percent(s)}" for what, s in shares.items() if s > 0.0005) + "."
    known = [o for o in profile if o.macs and o.outside is not None]
    if known:
        time_known = max(sum(o.ns for o in known), 1)
        outside = sum((o.outside or 0.0) * o.ns for o in known) / time_known
        written = sum((o.write_share or 0.0) * o.ns for o in known) / time_known
        text += (
            f" Of the operations that multiply, {percent(outside)} of the time is more than their multiplications take at the "
            f"measured peak; scaling, rounding and storing results (requantize) explain about {percent(written)}."
        )
    return [text]


def _float(profile: Profile) -> list[str]:
    expected = profile.expected_speedup
    if expected is None or not any(o.macs and o.form != "f32" for o in profile):
        return []
    times = [(o, profile.float_ns(o) or 0.0) for o in profile if o.macs and o.form != "f32"]
    beaten = [o for o, float_ns in times if o.ns > _SLOWER * float_ns]
    text = f"By the peaks of its instructions alone this network multiplies {ratio(expected)} as fast as plain float32"
    text += " (a kernel that reaches less of its peak, and everything that does not multiply, takes from that)."
    if beaten:
        named = listed([f"{o.layer} ({_WHY_NOT.get(o.bound, o.bound)})" for o in beaten])
        text += f" Longer than plain float32 would take at its peak: {named}."
    return [text]


_WHY_NOT = {
    "compute": "below its own peak",
    "memory": "bound by memory",
    "writing": "bound by writing results",
    "small": "too small",
    "unknown": "of a form without a known peak",
}


def _small(profile: Profile) -> list[str]:
    small = [o for o in profile if o.ns < SMALL_NS]
    share = sum(o.ns for o in small) / max(profile.sum_ns, 1)
    texts = []
    if len(small) > 1 and share > 0.05:
        texts.append(
            f"{count(len(small), 'operation')} under {time(SMALL_NS)} take {percent(share)} of the time: there, handing work out "
            "and starting loops count more than arithmetic, and no width makes them faster."
        )
    alone = [o for o in profile if o.workers < profile.threads and o.ns >= SMALL_NS]
    if alone:
        part = percent(sum(o.ns for o in alone) / max(profile.sum_ns, 1))
        some = f"{count(len(alone), 'operation')} ({part} of the time)"
        texts.append(f"{some} {verb(alone, 'give')} work to fewer than {profile.threads} threads.")
    return texts


def _tuned(profile: Profile) -> list[str]:
    asked = [o for o in profile if o.tuned is not None]
    if not asked:
        return []
    untuned = [o for o in asked if not o.tuned]
    if not untuned:
        return ["Every kernel with a choice was tuned by measurement."]
    share = sum(o.ns for o in untuned) / max(profile.sum_ns, 1)
    return [
        f"Not tuned: {count(len(untuned), 'layer')}, {percent(share)} of the time, {verb(untuned, 'have')} a kernel chosen by "
        f"the cost model and not by measurement: {listed([o.layer for o in untuned])}."
    ]


_PARAGRAPHS: tuple[Callable[[Profile], list[str]], ...] = (
    _overview, _heaviest, _shares, explain_widths, _float, _small, _tuned,
)  # fmt: skip

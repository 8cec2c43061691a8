"""Why one network is faster than another, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lowbit.kernels.conv2d.forms import FORMS
from lowbit.measure.signal import Signal
from lowbit.profile.result import SMALL_NS, Profile, ProfiledOperation
from lowbit.reporting.explain_signal import explain_signal
from lowbit.reporting.explain_widths import bits
from lowbit.reporting.forms_in_words import form_words
from lowbit.reporting.wording import count, listed, percent, ratio, size, time

__all__ = ["LayerPair", "explain_difference", "match_layers", "reason"]

_MOST = 5  # gains and losses that are named
_SAME = 0.1  # relative difference of times that is called none
_SHORT_OF = 0.75  # of the expected gain; less needs a reason of its own


@dataclass(frozen=True)
class LayerPair:
    """One layer of two networks: all its operations (packing the input, multiplying, ...) of each."""

    name: str
    before: tuple[ProfiledOperation, ...]
    after: tuple[ProfiledOperation, ...]

    @property
    def before_ns(self) -> int:
        return sum(o.ns for o in self.before)

    @property
    def after_ns(self) -> int:
        return sum(o.ns for o in self.after)

    @property
    def mains(self) -> tuple[ProfiledOperation, ProfiledOperation]:
        """The operation of each that multiplies; the longest one where none does."""
        first, second = (max(side, key=lambda o: (o.macs, o.ns)) for side in (self.before, self.after))
        return first, second


def match_layers(before: Profile, after: Profile) -> list[LayerPair]:
    """Layers that both have, by name, in the order of ``before``.  An input is itself whether it is quantized or not."""
    left, right = _layers(before), _layers(after)
    return [LayerPair(name, tuple(own), tuple(right[name])) for name, own in left.items() if name in right]


def _layers(profile: Profile) -> dict[str, list[ProfiledOperation]]:
    found: dict[str, list[ProfiledOperation]] = {}
    for o in profile:
        suffix = f" ({o.kind})" if o.kind in ("input", "output") else ""
        found.setdefault(o.layer.removesuffix(".quantize") + suffix, []).append(o)
    return found


def explain_difference(
    before: Profile,
    after: Profile,
    names: tuple[str, str] = ("the first", "the second"),
    signals: tuple[Signal | None, Signal | None] = (None, None),
) -> list[str]:
    """Paragraphs on what ``after`` does faster or slower than ``before``, and why.  A pure function."""
    texts = []
    for name, signal in zip(names, signals, strict=True):
        if signal is not None and not signal.alive:
            texts += [f"{name}: {text}" for text in explain_signal(signal)[:1]]
    pairs = match_layers(before, after)
    total, matched = (len(_layers(before)), len(_layers(after))), len(pairs)
    texts.append(_header(before, after, names))
    if matched < max(total):
        first = f"{matched} of {total[0]} layers of {names[0]}"
        texts.append(f"{first} have a layer of the same name among the {total[1]} of {names[1]}.")
    if not pairs:
        return [*texts, "They share no layer by name: these are different networks, and only their totals can be compared."]
    if before.threads != after.threads:
        texts.append(f"{names[0]} ran with {before.threads} threads and {names[1]} with {after.threads}.")
    texts += _outside(before, after, names)
    texts += _by_reason(pairs)
    texts += _extremes(pairs)
    texts += _not_faster(pairs, before, after)
    return texts


def _header(before: Profile, after: Profile, names: tuple[str, str]) -> str:
    gain = before.total_ns / max(after.total_ns, 1)
    text = f"{names[1]} takes {time(after.total_ns)} where {names[0]} takes {time(before.total_ns)}: {_verdict(gain)}."
    operations = before.sum_ns / max(after.sum_ns, 1)
    if abs(operations / gain - 1) > _SAME:
        text += f" Their operations alone: {time(after.sum_ns)} and {time(before.sum_ns)}, {_verdict(operations)}."
    times = [[o.multiply_ns for o in profile if o.macs] for profile in (before, after)]
    if all(times) and None not in (*times[0], *times[1]):
        first, second = (sum(t or 0.0 for t in side) for side in times)
        expected = first / second
        text += f" Multiplying at the peaks of their instructions would make it {ratio(expected)} as fast"
        short = operations < expected * _SHORT_OF
        text += "; why it falls short of that is said below." if short else "."
    return text


def _verdict(gain: float) -> str:
    if abs(gain - 1) < _SAME:
        return f"the same speed ({ratio(gain)})"
    return f"{ratio(gain)} as fast" if gain > 1 else f"{ratio(1 / gain)} as slow"


def _outside(before: Profile, after: Profile, names: tuple[str, str]) -> list[str]:
    """Time that passes in no operation, where it matters."""
    if all(profile.between_ns < _SAME * profile.fastest_ns for profile in (before, after)):
        return []
    return [
        f"Outside the operations, in the call itself and its memory: {time(before.between_ns)} of {names[0]} and "
        f"{time(after.between_ns)} of {names[1]}; what follows is about the operations."
    ]


def _reasons(pairs: Sequence[LayerPair]) -> dict[str, list[LayerPair]]:
    """Reason -> its layers that multiply, those with the most time first."""
    groups: dict[str, list[LayerPair]] = {}
    for pair in pairs:
        if any(o.macs for o in pair.before):
            groups.setdefault(reason(*pair.mains), []).append(pair)
    return dict(sorted(groups.items(), key=lambda item: -sum(p.before_ns for p in item[1])))


def _by_reason(pairs: Sequence[LayerPair]) -> list[str]:
    """One numbered line for each different reason, by the time of the layers it stands for."""
    total = max(sum(pair.before_ns for pair in pairs), 1)
    lines = []
    for number, (why, members) in enumerate(_reasons(pairs).items(), 1):
        before, after = sum(p.before_ns for p in members), sum(p.after_ns for p in members)
        verdict = f"{percent(before / total)} of the time, {_verdict(before / max(after, 1))}"
        lines.append(f"  ({number}) {count(len(members), 'layer')}, {verdict}: {why}")
    return ["Layers that multiply:\n" + "\n".join(lines)] if lines else []


def reason(before: ProfiledOperation, after: ProfiledOperation) -> str:
    """Why ``after`` needs another time than ``before``, or the same: a clause."""
    if not (before.macs and after.macs):
        if before.bytes and after.bytes and before.bytes != after.bytes:
            return f"no multiplications; {size(after.bytes)} are moved instead of {size(before.bytes)}"
        return "no multiplications, and the same bytes"
    if before.form == after.form and before.kind == after.kind:
        return _same_form(before, after)
    old, new = _instruction(before), _instruction(after)
    text = f"{new} instead of {old}"
    if before.peak and after.peak:
        peaks = after.peak / after.workers / (before.peak / before.workers)
        text += f", {ratio(peaks)} by their peaks"
    words = form_words(after.form)
    if words.family in ("look-up", "bits") or words.paired:
        text += f": {words.meaning}"
    if _wide(after) and not _wide(before):
        text += f": 16-bit operands, half as many a vector as bytes or fewer{_wide_words(after)}"
    elif _wide(before) and not _wide(after) and form_words(after.form).family == "bytes":
        text += f": twice as many bytes as int16 a vector, or more{_wide_words(before, 'the int16 ones had ')}"
    if before.saved != after.saved:
        fewer = [f"{o.saved:g}x fewer multiplications {when}" for o, when in ((before, "before"), (after, "now")) if o.saved > 1]
        text += f" ({', '.join(fewer)} than the plain algorithm)"
    if before.kind == after.kind == "winograd" and not _wide(before) and not _wide(after):
        families = [form_words(o.form).family for o in (before, after)]
        if sorted(families) == ["bytes", "int16"]:
            few = after if families[1] == "bytes" else before
            text += f": the few bits of {few.types} leave room for transformed values in bytes, 8 bits need 16-bit instructions"
    return text


def _instruction(o: ProfiledOperation) -> str:
    kind = {"winograd": "Winograd with ", "depthwise": "depthwise "}.get(o.kind, "")
    return kind + form_words(o.form).instruction


def _wide(o: ProfiledOperation) -> bool:
    return form_words(o.form).family in ("int16", "depthwise") and max(bits(o.act), bits(o.weight)) > 8 and o.weight != "f32"


def _wide_words(o: ProfiledOperation, prefix: str = "") -> str:
    words = []
    if o.parts > 1:
        words.append("weights in two parts, so two multiplications each")
    if o.depth > 1:
        words.append("32-bit sums moved to float64 block by block")
    return f"; {prefix}{' and '.join(words)}" if words else ""


def _same_form(before: ProfiledOperation, after: ProfiledOperation) -> str:
    instruction, same_types = _instruction(before), before.types == after.types
    if same_types and before.container != after.container:
        return (
            f"the same kernel ({instruction}): weights take {before.container} and {after.container} bits in the file and the "
            "same in memory, so the container changes the size and not the speed"
        )
    if before.parts != after.parts:
        return f"{instruction} in both, with weights in {before.parts} and {after.parts} parts: so many multiplications each"
    if before.depth != after.depth and before.form in FORMS and FORMS[before.form].sum_bits == 16:
        steps = tuple(str(o.depth) if o.depth else "all" for o in (before, after))
        return f"{instruction} in both, with {steps[0]} and {steps[1]} steps summed in 16 bits before they are widened"
    if same_types:
        width = f"kept at {after.types} in both" if after.weight != "f32" else "float32 in both"
        return f"the same kernel ({instruction}): {width}"
    if form_words(before.form).any_bytes:
        return (
            f"the same kernel form ({before.types} and {after.types}): {instruction} multiplies any 8-bit operands, so 8 to "
            "3 bits take the same time and fewer bits only take less memory"
        )
    if before.kind == "depthwise":
        return "depthwise in both: loading, widening and writing weigh as much as multiplying, whatever the bits"
    types = f"{before.types} and {after.types}"
    return f"the same kernel form ({instruction}) for {types}: the bits change the storage, not the instructions"


def _extremes(pairs: Sequence[LayerPair]) -> list[str]:
    texts = []
    floor = 0.01 * max(sum(pair.before_ns for pair in pairs), 1)
    gains = sorted((p for p in pairs if p.before_ns - p.after_ns > floor), key=lambda p: p.after_ns - p.before_ns)
    losses = sorted((p for p in pairs if p.after_ns - p.before_ns > floor), key=lambda p: p.before_ns - p.after_ns)
    numbers = {why: f"({number})" for number, why in enumerate(_reasons(pairs), 1)}
    for heading, chosen in (("Most time saved:", gains), ("Most time lost:", losses)):
        lines = []
        for p in chosen[:_MOST]:
            why = reason(*p.mains)
            lines.append(f"  {p.name}: {time(p.before_ns)} to {time(p.after_ns)}, {numbers.get(why, why)}{_packing(p)}")
        if lines:
            texts.append("\n".join([heading, *lines]))
    return texts


def _packing(pair: LayerPair) -> str:
    packing = sum(o.ns for o in pair.after if o.kind.startswith("pack_"))
    return f" ({time(packing)} of it to pack the input)" if packing else ""


def _not_faster(pairs: Sequence[LayerPair], before: Profile, after: Profile) -> list[str]:
    """Layers whose instructions promise more than they give, and why."""
    found: dict[str, list[LayerPair]] = {}
    for pair in pairs:
        old, new = pair.mains
        promised = old.multiply_ns / new.multiply_ns if old.multiply_ns and new.multiply_ns else None
        if promised is None or promised < 1 + _SAME or pair.before_ns / max(pair.after_ns, 1) >= promised * _SHORT_OF:
            continue
        found.setdefault(_obstacle(pair, new), []).append(pair)
    lines = [
        f"  {why}: {listed([p.name for p in members])} "
        f"({ratio(sum(p.before_ns for p in members) / max(sum(p.after_ns for p in members), 1))})"
        for why, members in found.items()
    ]
    others = sum(o.ns for o in after if not o.macs) / max(after.sum_ns, 1)
    if others > 0.1 and before.macs and any(o.weight != b.weight for p in pairs for b, o in [p.mains]):
        lines.append(f"  operations that multiply nothing do not gain by narrower products: {percent(others)} of the time now")
    return ["What gains less than its instructions promise:\n" + "\n".join(lines)] if lines else []


def _obstacle(pair: LayerPair, new: ProfiledOperation) -> str:
    if pair.after_ns < SMALL_NS:
        return f"under {time(SMALL_NS)}, where being called costs as much as computing"
    if new.kind == "depthwise":
        return "depthwise: loading, widening and writing weigh as much as multiplying"
    if new.bound == "memory":
        return "memory-bound: the bytes take the time, not the products"
    if new.bound == "writing":
        return "few products a result: scaling, rounding and storing results take the time"
    if sum(o.ns for o in pair.after if not o.macs) > 0.2 * pair.after_ns:
        return "preparing the input takes part of the gain"
    return "compute-bound, further from the peak of its faster instructions (loads, tile edges and writing results stay)"

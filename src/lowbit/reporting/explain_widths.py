"""What the widths of a network's values do, and do not do, for its speed: in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from lowbit.profile.result import Profile, ProfiledOperation
from lowbit.reporting.forms_in_words import form_words
from lowbit.reporting.wording import count, listed, percent, verb

__all__ = ["bits", "explain_widths"]


def explain_widths(profile: Profile) -> list[str]:
    """Paragraphs on same speed at fewer bits, containers, look-ups, one bit, Winograd, 16 bits, layers kept wider, depthwise."""
    layers = [o for o in profile if o.macs]
    texts = []
    narrow = [o for o in layers if form_words(o.form).any_bytes and o.saved == 1 and 0 < min(bits(o.act), bits(o.weight)) < 8]
    if narrow:
        texts.append(
            f"{_layers(narrow)} of fewer than 8 bits ({_types(narrow)}) {verb(narrow, 'run')} the 8-bit kernel: "
            f"{form_words(narrow[0].form).instruction} {form_words(narrow[0].form).meaning}, so 8 to 3 "
            "bits take the same time in it (2 bits, too, where no look-up is faster). Fewer bits make the file smaller there, "
            "not the network faster."
        )
    contained = [o for o in layers if o.container > bits(o.weight) > 0 and o.weight != "f32"]
    if contained:
        texts.append(
            f"{_layers(contained)}: weights of {_join(str(bits(o.weight)) for o in contained)} bits are stored in containers of "
            f"{_join(str(o.container) for o in contained)} bits. Kernels read weights in their own form from memory, so the "
            "container decides the size of the file and not the speed."
        )
    looked_up = [o for o in layers if form_words(o.form).family == "look-up"]
    for form in dict.fromkeys(o.form for o in looked_up):
        own, words = [o for o in looked_up if o.form == form], form_words(form)
        widths = _join(count(max(bits(o.act), bits(o.weight)), "bit") for o in own)
        texts.append(f"{_layers(own)} of {widths}: {words.instruction} {words.meaning} instead of multiplying.")
    paired = [o for o in layers if form_words(o.form).paired]
    if paired:
        words = form_words(paired[0].form)
        few = " Sums of few bits fit bytes, so fewer bits are faster here."
        of_bytes = any(form_words(o.form).family == "bytes" for o in paired)
        texts.append(f"{_layers(paired)} ({_types(paired)}): {words.instruction} {words.meaning}.{few if of_bytes else ''}")
    counted = [o for o in layers if form_words(o.form).family == "bits"]
    if counted:
        words = form_words(counted[0].form)
        texts.append(f"{_layers(counted)} of 1 bit: {words.instruction} {words.meaning}.")
    texts += _winograd([o for o in layers if o.kind == "winograd"])
    texts += _int16(layers)
    by_bytes = [o for o in layers if form_words(o.form).family == "int16 by bytes"]
    if by_bytes:
        words = form_words(by_bytes[0].form)
        texts.append(
            f"{_layers(by_bytes)} {verb(by_bytes, 'have')} 16-bit operands: {words.instruction} {words.meaning}, four products "
            "for one, two where an operand has 8 bits, so 8 bits are four times as fast, or twice."
        )
    texts += _kept(layers)
    depthwise = [o for o in layers if o.kind == "depthwise"]
    if depthwise:
        texts.append(
            f"{_layers(depthwise)} {verb(depthwise, 'are')} depthwise: each input meets only the few weights of its own "
            "channel, so loading, widening and writing weigh as much as multiplying, and narrow values are multiplied as 16-bit "
            "ones: fewer bits gain little."
        )
    return texts


def _winograd(layers: list[ProfiledOperation]) -> list[str]:
    if not layers:
        return []
    saved = _join(f"{o.saved:g}x" for o in layers)
    text = (
        f"{_layers(layers)} {verb(layers, 'are')} computed by Winograd's algorithm, with {saved} fewer multiplications than "
        "plainly. Their GMAC/s are those of the plain algorithm ('effective') and may exceed the peak of their instructions; "
        "what is missing of the peak goes into transforming inputs and sums."
    )
    families = {form_words(o.form).family: max(bits(o.act), bits(o.weight)) for o in layers}
    if "int16" in families:
        text += " Transformed values of 8 bits take 16, so 16-bit instructions multiply them"
        text += ", and bytes only where fewer bits leave room." if "bytes" in families else "."
    elif "bytes" in families:
        text += " Their few bits leave room for the transformed values in bytes: 8-bit values would need 16-bit instructions."
    return [text]


def _int16(layers: list[ProfiledOperation]) -> list[str]:
    # a Winograd kernel of narrow operands multiplies in 16 bits, too, but that is not what slows it down
    wide = [o for o in layers if form_words(o.form).family == "int16" and max(bits(o.act), bits(o.weight)) > 8]
    if not wide:
        return []
    text = (
        f"{_layers(wide)} {verb(wide, 'have')} 16-bit operands: {form_words(wide[0].form).instruction} "
        f"{form_words(wide[0].form).meaning}, half as many a vector as bytes or fewer, so 8 bits are at least twice as fast"
    )
    if parted := [o for o in wide if o.parts > 1]:
        text += (
            f"; in {len(parted)} of them a product of two 16-bit numbers would leave its 32-bit sum, so weights are taken "
            "in two parts (256 * high + low): two multiplications each, a quarter of the rate of bytes, about that of float32"
        )
    if blocked := [o for o in wide if o.depth > 1]:
        steps = _join(str(o.depth) for o in blocked)
        text += f"; in {len(blocked)} the 32-bit sums are moved to float64 ones every {steps} steps"
    return [text + "."]


def _kept(layers: list[ProfiledOperation]) -> list[str]:
    """Layers wider than what most multiply-accumulates have."""
    by_types: dict[tuple[str, str], int] = {}
    for o in layers:
        by_types[o.act, o.weight] = by_types.get((o.act, o.weight), 0) + o.macs
    if len(by_types) < 2:
        return []
    act, weight = max(by_types, key=lambda types: by_types[types])
    kept = [o for o in layers if bits(o.act) > bits(act) or bits(o.weight) > bits(weight)]
    if not kept:
        return []
    total = max(sum(o.ns for o in layers), 1)
    return [
        f"{_layers(kept)} {verb(kept, 'are')} kept wider ({_types(kept)}) than the others ({act} x {weight}): "
        f"{listed([o.layer for o in kept])}, {percent(sum(o.ns for o in kept) / total)} of the time that multiplies."
    ]


def bits(text: str) -> int:
    """Width of a QType's text (``u8`` -> 8); 32 for "f32", 0 for ""."""
    return int(text[1:]) if text else 0


def _layers(operations: list[ProfiledOperation]) -> str:
    return count(len(operations), "layer")


def _types(operations: list[ProfiledOperation]) -> str:
    return listed([o.types for o in operations])


def _join(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))

"""Whether a network is alive, in plain words."""

from __future__ import annotations

from lowbit.measure.signal import Signal
from lowbit.reporting.wording import count, listed, percent

__all__ = ["explain_signal"]

_DEAD_CHANNELS = 0.1  # share of dead channels from which a network is called partly dead


def explain_signal(signal: Signal) -> list[str]:
    """What of the input reaches the output."""
    dead, channels = signal.dead_channels
    texts = []
    if not signal.alive:
        start = signal.dead_from
        where = f"from layer {start} on" if start else "at its output"
        texts.append(
            f"DEAD: this network is dead {where}: {signal.inputs} different inputs gave the same values there. Its speed says "
            "nothing about a working network, and its accuracy is that of a constant answer."
        )
    elif signal.constant:
        names = listed([layer.name for layer in signal.constant])
        texts.append(
            f"The output of {names} is the same for all {signal.inputs} inputs; the network lives only by what goes around it."
        )
    if quiet := signal.nearly_constant:
        said = listed([f"{layer.name} ({percent(layer.same)} one value)" for layer in quiet])
        texts.append(f"Nearly all one value: {said}. Little of the input is left there.")
    if dead and (signal.alive or dead < channels):
        partly = "; a good part of the network is dead" if dead >= _DEAD_CHANNELS * channels else ""
        texts.append(
            f"{dead:,} of {count(channels, 'output channel')} of the layers that multiply ({percent(dead / channels)}) hold "
            f"one value whatever the input{partly}: the time spent on them computes nothing."
        )
    if not texts:
        texts.append(f"Every layer's output depends on the input ({signal.inputs} inputs tried).")
    return texts

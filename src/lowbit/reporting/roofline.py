"""The roofline picture: how many multiply-accumulates a second the machine allows for the bytes they need."""

from __future__ import annotations

import io
from pathlib import Path

from lowbit.errors import ConfigError
from lowbit.files import write_whole
from lowbit.profile.result import Profile
from lowbit.reporting.plots import check_plots

__all__ = ["check_roofline", "roofline"]

_FORMATS = (".png", ".svg")
_NAMED = 4  # heaviest operations that carry their name
_MARKERS = {"winograd": "^", "depthwise": "s"}


def check_roofline(path: Path) -> None:
    """Raise ConfigError for a format that is not .png or .svg, ToolMissing without matplotlib."""
    if path.suffix not in _FORMATS:
        raise ConfigError(f"cannot draw {path}: its name must end in {' or '.join(_FORMATS)}")
    check_plots()


def roofline(profile: Profile, path: Path) -> None:
    """Draw ``profile``: an operation is a mark at its multiply-accumulates a byte and GMAC/s (area: its time; colour: its
    form; triangle: Winograd, square: depthwise); lines are the measured roofs: sloping ones of memory, level ones
    of the forms that the network uses, and of float.

    A Winograd kernel may lie above its form's roof: its multiply-accumulates are those of the plain algorithm.
    Raises ConfigError without measured peaks or without a multiplication.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_roofline(path)
    if profile.no_peaks:
        raise ConfigError(f"a roofline needs the machine's peaks, and there are none: {profile.no_peaks}")
    points = [(o, o.macs / o.bytes) for o in profile if o.macs and o.bytes]
    if not points:
        raise ConfigError(f"{profile.name} multiplies nothing: there is no roofline to draw")
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    intensities = [intensity for _, intensity in points]
    left, right = min(intensities) / 2, max(intensities) * 2
    heights = [*profile.forms.values(), *(o.gmacs for o, _ in points)]
    top = max(heights)
    for style, (level, rate) in zip(("-", "--", ":"), profile.memory.items(), strict=False):
        label = f"{level}, {rate:.0f} GB/s"
        axes.plot([left, top / rate], [left * rate, top], color="gray", linestyle=style, linewidth=1, label=label)
    groups = list(dict.fromkeys((o.form, o.kind) for o, _ in points))
    colors = {form: f"C{index}" for index, form in enumerate(dict.fromkeys(form for form, _ in groups))}
    for loop, rate in profile.forms.items():
        color = colors.get(loop.split()[0], "black")
        axes.axhline(rate, color=color, linewidth=1, linestyle="-" if color != "black" else ":")
        axes.annotate(f"{loop}, {rate:.0f} GMAC/s", (right, rate), ha="right", va="bottom", fontsize=8, color=color)
    for form, kind in groups:
        own = [(intensity, o) for o, intensity in points if (o.form, o.kind) == (form, kind)]
        areas = [max(8.0, 1500 * o.ns / max(profile.sum_ns, 1)) for _, o in own]
        xs, ys = [x for x, _ in own], [o.gmacs for _, o in own]
        label = f"{form} ({len(own)})" if kind == "conv2d" else f"{kind} {form} ({len(own)})"
        axes.scatter(xs, ys, s=areas, color=colors[form], marker=_MARKERS.get(kind, "o"), alpha=0.6, label=label)
    for operation, intensity in sorted(points, key=lambda point: -point[0].ns)[:_NAMED]:
        axes.annotate(operation.layer, (intensity, operation.gmacs), fontsize=7, xytext=(4, -8), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, max(right, left * 4))
    axes.set_ylim(min(heights) / 2, top * 1.5)
    axes.set_xlabel("multiply-accumulates a byte moved")
    axes.set_ylabel("GMAC/s")
    axes.legend(fontsize=8, loc="lower right")
    axes.set_title(f"{profile.name} for {profile.target}, threads: {profile.threads}, {profile.machine}", fontsize=10)
    image = io.BytesIO()
    figure.savefig(image, dpi=120, format=path.suffix[1:])
    write_whole(path, image.getbuffer())

"""``lowbit compare-strategies``: how many trials each strategy needs on the same space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.cli.files import write_json
from lowbit.files import check_writable, write_whole

__all__ = ["command"]


def command(
    file: Annotated[str, typer.Argument(help="A .toml file of `lowbit search`, or a network.")],
    trials: Annotated[str, typer.Option(help="Numbers of trials at which strategies are compared.")] = "20,50,100",
    seeds: Annotated[int, typer.Option(help="Studies of each strategy, with seeds 0, 1, ...")] = 5,
    strategies: Annotated[str | None, typer.Option(help="Comma-separated; default: all that fit the space.")] = None,
    storage: Annotated[str | None, typer.Option(help="Keeps the studies; the same command goes on; default: memory.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write the curves as .png, .svg or .pdf.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Best value and hypervolume against trials for every strategy and seed, and what the spread allows to conclude.

    All studies share networks, calibration and every plan that one of them has tried, so that trials cost little the second time.
    """
    for path in (html, picture, json):
        if path:
            check_writable(path)
    from lowbit.cli.options import names
    from lowbit.errors import ConfigError
    from lowbit.searching.compare import compare_strategies
    from lowbit.searching.settings import merged, read_settings
    from lowbit.searching.show import comparison_page, comparison_table, conclusions, save_comparison_picture
    from lowbit.searching.study import storage_url

    counts = [int(part) if part.isdigit() else 0 for part in names(trials)]
    if not counts or min(counts) < 1:
        raise ConfigError(f"--trials {trials!r}: write numbers of at least 1, such as 20,50,100")
    flags = {"storage": None if storage is None else storage_url(storage)}
    settings = read_settings(file, flags, {}) if file.endswith(".toml") else merged({"network": file}, flags, {})
    with notes_for_warnings():
        found = compare_strategies(settings, counts, list(range(seeds)), names(strategies) if strategies else None, note=note)
    results().print(comparison_table(found))
    for line in conclusions(found):
        results().print(line, markup=False)
    if html:
        write_whole(html, comparison_page(found))
    if picture:
        save_comparison_picture(found, picture)
    if json:
        write_json(json, found)

"""``lowbit pareto``: the front of a study, as a table, a page, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import note, results
from lowbit.files import check_writable, write_whole

__all__ = ["command"]


def command(
    storage: Annotated[str, typer.Argument(help="Storage of a `lowbit search`: s.db, postgresql://user@host/base, ...")],
    study: Annotated[str | None, typer.Option(help="Which study; default: the only one.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the interactive page.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write the front as .png, .svg or .pdf.")] = None,
    hypervolume: Annotated[Path | None, typer.Option(help="Write the hypervolume against trials as a picture.")] = None,
    trial: Annotated[int | None, typer.Option(help="Trial whose plan --plan shows; default: the first of the front.")] = None,
    plan: Annotated[Path | None, typer.Option(help="Write the bits of every layer of --trial as a picture.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all trials as CSV.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything as JSON.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of the table.")] = 20,
) -> None:
    """The best trials of a study and what noise leaves undecided among them."""
    for path in (html, picture, hypervolume, plan, csv, json):
        if path:
            check_writable(path)
    from lowbit.searching.show import best_table, save_csv, save_json, save_picture, search_page, words
    from lowbit.searching.stored import stored_result
    from lowbit.searching.study import storage_url

    found = stored_result(storage_url(storage, must_exist=True), study)
    results().print(best_table(found, rows))
    for line in words(found):
        results().print(line, markup=False)
    if html:
        write_whole(html, search_page(found))
        note(f"{html}: the page")
    for path, what in ((picture, "front"), (hypervolume, "hypervolume"), (plan, "plan")):
        if path:
            save_picture(found, path, what, trial)
            note(f"{path}: {what}")
    if csv:
        save_csv(found, csv)
    if json:
        save_json(found, json)

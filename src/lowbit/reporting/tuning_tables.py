"""Tables of ``lowbit tune``: what it gained, and what is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowbit.tuning.database import Database, user_database
from lowbit.tuning.lookup import best_by_key
from lowbit.tuning.session import TuneReport

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["status_table", "tune_table"]


def tune_table(report: TuneReport) -> Table:
    """A row for each distinct convolution, times of one of its layers."""
    from rich.table import Table

    table = Table("layer", title=f"{report.network}, {report.threads} threads")
    for name in ("default us", "tuned us", "gain"):
        table.add_column(name, justify="right")
    table.add_column("decision")
    for row in report.rows:
        more = f" (+{len(row.layers) - 1})" if len(row.layers) > 1 else ""
        gain = f"{row.default_us / row.tuned_us:.2f}x"
        table.add_row(f"{row.layers[0]}{more}", f"{row.default_us:,.1f}", f"{row.tuned_us:,.1f}", gain, str(row.decision))
    return table


def status_table(databases: Sequence[Database]) -> Table:
    """A row for each database.  ``gain``: geometric mean over its problems of model's time / best time.
    ``used``: whether this lowbit on this machine takes decisions from it."""
    from rich.table import Table

    from lowbit.targets import TARGETS

    here = {user_database(target).path for target in TARGETS.values()}
    table = Table("cpu", "target", "generator", "convolutions", "measurements", "gain", "used", "file")
    for database in databases:
        trials, origin = database.trials(), database.origin
        best = [trial.ratio for found in best_by_key(trials).values() for trial in found.values()]
        gain = f"{np.exp(-np.mean(np.log(best))):.2f}x" if best else ""
        used = "yes" if database.path in here else "no: another CPU or lowbit"
        table.add_row(
            origin.cpu, origin.target, origin.generator, str(len(best)), str(len(trials)), gain, used, str(database.path)
        )
    return table

"""``lowbit eval``: accuracy of pretrained networks on real images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import note, notes_for_warnings, results
from lowbit.cli.files import write_json
from lowbit.files import check_writable

__all__ = ["command"]


def command(
    network: Annotated[list[str] | None, typer.Argument(help="Pretrained networks; default: all there are.")] = None,
    config: Annotated[str, typer.Option(help="Comma-separated: fp32, 8/int8, 4/int4, w4a8, ...")] = "8/int8",
    limit: Annotated[int | None, typer.Option(help="Images to evaluate; default: all.")] = None,
    calibration: Annotated[int | None, typer.Option(help="Images to calibrate with; default: 500, or all if fewer.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with models/ and dev/; default: $LOWBIT_DATA.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Top-1 of pretrained networks, compiled beside float, on the same real images."""
    if json:
        check_writable(json)
    if data is not None:
        os.environ["LOWBIT_DATA"] = str(data)

    from lowbit.cli.options import names
    from lowbit.evaluate import CALIBRATION_IMAGES, EvalPlan, run_eval
    from lowbit.reporting.eval_table import eval_table
    from lowbit.zoo.pretrained import PRETRAINED

    wanted = CALIBRATION_IMAGES if calibration is None else calibration
    plans = [EvalPlan(name, names(config), limit, wanted, threads) for name in network or PRETRAINED]
    with notes_for_warnings():
        rows = [row.to_json() for plan in plans for row in run_eval(plan, note)]
    results().print(eval_table(rows))
    if json:
        write_json(json, {"rows": rows})

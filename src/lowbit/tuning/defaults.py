"""Decisions that come with lowbit: measured on one machine for networks many people use.

They hold for the CPU they were measured on.  Where kernels are chosen by costs that were fitted to another CPU, those know
better: on an Intel server the decisions of a Zen 4 take 22 % longer than the best, those of the costs fitted there 3 %
(docs/decisions/0020-fitted-costs.md).
"""

from __future__ import annotations

import json
from pathlib import Path

from lowbit.errors import warn
from lowbit.targets import Target
from lowbit.tuning.trial import Trial

__all__ = ["FOLDER", "read_defaults"]

FOLDER = Path(__file__).resolve().parent / "defaults"


def read_defaults(target: Target, folder: Path = FOLDER) -> list[Trial]:
    """Those for ``target``; none where lowbit brings none, or where its costs are fitted to another CPU than the one in the
    file.  A damaged file is a warning that names it."""
    path = folder / f"{target.name}.json"
    try:
        content = json.loads(path.read_text())
        if target.costs not in ("", content["costs"]):
            return []
        return [Trial.from_json(entry) for entry in content["trials"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn(f"tuned defaults {path} cannot be read and are not used; install lowbit anew: {error}")
        return []

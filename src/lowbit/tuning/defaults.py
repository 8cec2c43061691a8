"""Decisions that come with lowbit: measured on a few machines for networks many people use.

``defaults/<costs>/<target>.json``: they hold for the CPUs that choose kernels by these costs (targets/costs.py), those like the
one they were measured on.  Elsewhere the costs know better: on an Intel server the decisions of a Zen 4 take 22 % longer than
the best, those of the costs fitted there 3 % (docs/decisions/0020-fitted-costs.md).
"""

from __future__ import annotations

import json
from pathlib import Path

from lowbit.errors import warn
from lowbit.targets import Target
from lowbit.tuning.trial import Trial

__all__ = ["FOLDER", "TYPED", "read_defaults"]

FOLDER = Path(__file__).resolve().parent / "defaults"
TYPED = "amd-25-17"
"""The CPU that the typed estimates hold for, and so a target without fitted costs."""


def read_defaults(target: Target, folder: Path = FOLDER) -> list[Trial]:
    """Those for ``target`` and its costs; none where lowbit brings none.  A damaged file is a warning that names it."""
    path = folder / (target.costs or TYPED) / f"{target.name}.json"
    try:
        return [Trial.from_json(entry) for entry in json.loads(path.read_text())["trials"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn(f"tuned defaults {path} cannot be read and are not used; install lowbit anew: {error}")
        return []

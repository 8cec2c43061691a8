"""Decisions that come with lowbit: measured on one machine for networks many people use."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from lowbit.targets import Target
from lowbit.tuning.trial import Trial

__all__ = ["FOLDER", "read_defaults"]

FOLDER = Path(__file__).resolve().parent / "defaults"


def read_defaults(target: Target, folder: Path = FOLDER) -> list[Trial]:
    """Those for ``target``; none where lowbit brings none.  A damaged file is a warning that names it."""
    path = folder / f"{target.name}.json"
    try:
        return [Trial.from_json(entry) for entry in json.loads(path.read_text())["trials"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(f"tuned defaults {path} cannot be read and are not used; install lowbit anew: {error}", stacklevel=2)
        return []

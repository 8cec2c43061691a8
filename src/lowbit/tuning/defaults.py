"""Decisions that come with lowbit: measured on one machine for networks many people use."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

from lowbit.files import write_whole
from lowbit.targets import Target
from lowbit.tuning.trial import Trial

__all__ = ["FOLDER", "read_defaults", "write_defaults"]

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


def write_defaults(target: Target, cpu: str, trials: Iterable[Trial], folder: Path = FOLDER) -> Path:
    """One line for each trial, in the order of their keys, so that a change of one is a change of one line."""
    path = folder / f"{target.name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(trial.to_json()) for trial in sorted(trials, key=lambda trial: (trial.key, trial.threads))]
    body = ",\n".join(lines)
    write_whole(path, f'{{"cpu": {json.dumps(cpu)}, "target": {json.dumps(target.name)}, "trials": [\n{body}\n]}}\n')
    return path

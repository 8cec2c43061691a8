"""Files of fitted costs: by how much the cost model is wrong on a CPU, for each way to compute a convolution.

``costs/<name>.json`` holds, for each algorithm and form (``Decision`` of kernels/conv2d/selection), the factor by which
the typed estimate is multiplied, fitted to measurements of the tuner by benchmarks/fit_costs.py, and how well that fits.
A CPU without a file has those of the nearest (:func:`nearest_costs`); where none is near, and for targets that are named
and not this machine, the typed estimates hold.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lowbit.errors import ConfigError
from lowbit.targets.host import Cpu

__all__ = ["FOLDER", "Costs", "costs_in_words", "costs_names", "nearest_costs", "read_costs"]

FOLDER = Path(__file__).resolve().parent / "costs"


@dataclass(frozen=True, eq=False)
class Costs:
    """``cpu``: where it was measured; ``target``: name of the target whose kernels were.  ``factors``: algorithm -> form
    -> what the typed estimate is multiplied by."""

    name: str
    cpu: Cpu
    target: str
    factors: Mapping[str, Mapping[str, float]]

    def factor(self, algorithm: str, form: str) -> float:
        """1 for what was not measured: factors are fitted around 1."""
        return self.factors.get(algorithm, {}).get(form, 1.0)


@cache
def read_costs(name: str, folder: Path = FOLDER) -> Costs:
    """The file ``name``; "" has no factors.  Raises ConfigError where there is none, or where it is damaged."""
    if not name:
        return Costs("", Cpu("", 0, 0), "", {})
    path = folder / f"{name}.json"
    try:
        data = json.loads(path.read_text())
        cpu = Cpu(str(data["cpu"]["vendor"]), int(data["cpu"]["family"]), int(data["cpu"]["model"]))
        factors = {
            algorithm: {form: _factor(value) for form, value in of_forms.items()}
            for algorithm, of_forms in data["factors"].items()
        }
        return Costs(name, cpu, str(data["target"]), factors)
    except FileNotFoundError:
        raise ConfigError(f"no costs {name!r} in {folder}; there are: {', '.join(costs_names(folder)) or 'none'}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"costs {path} cannot be read; install lowbit anew: {error!r}") from error


def _factor(value: object) -> float:
    if type(value) not in (int, float) or not 0.0 < value < 1e6:  # type: ignore[operator]
        raise ValueError(f"a factor is a number above 0, not {value!r}")
    return float(value)  # type: ignore[arg-type]


@cache
def costs_names(folder: Path = FOLDER) -> tuple[str, ...]:
    """All there are, in alphabetical order."""
    return tuple(sorted(path.stem for path in folder.glob("*.json")))


def nearest_costs(cpu: Cpu | None, target: str, alike: Collection[str] = (), folder: Path = FOLDER) -> str:
    """Name of the file for kernels of ``target`` on ``cpu``; "" where there is none.

    Files for that target, and those of the same vendor for ``alike`` ones, whose vectors are as long: one of the same vendor
    before one of another; of these the nearest family, then the nearest model, then the first by name.
    """
    if cpu is None:
        return ""
    files = (read_costs(name, folder) for name in costs_names(folder))
    found = [file for file in files if file.target == target or (file.target in alike and file.cpu.vendor == cpu.vendor)]
    nearest = min(found, key=lambda costs: cpu.distance(costs.cpu), default=None)
    return "" if nearest is None else nearest.name


def costs_in_words(name: str, cpu: Cpu | None) -> str:
    """Which costs a target has, for whoever looks at the machine ``cpu``."""
    if not name:
        return "as typed: nothing is fitted for a CPU like this"
    where = read_costs(name).cpu
    near = "this CPU" if cpu == where else "the nearest to this CPU"
    return f"{name}, fitted to {where.vendor} family {where.family} model {where.model}, {near}"

"""What an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from lowbit.measure.scores import ClassFigures, Comparison, Outcomes, compare, per_class

__all__ = ["EvaluationReport"]


@dataclass(frozen=True)
class EvaluationReport:
    """A network on labelled samples, beside a reference on the same ones where there is one.

    ``outcomes``, ``reference``: of every sample, and from them top-1, top-5 and cross entropy with standard errors.
    ``complete``: False for one that was interrupted; then ``outcomes.count`` of ``planned`` samples (None: unknown) were seen.
    ``seconds``, ``reference_seconds``: spent computing, without reading data.  ``classes``: names by label.
    ``notes``: what looked wrong, in words.
    """

    network: str
    dataset: str
    outcomes: Outcomes = field(repr=False)
    reference: Outcomes | None = field(default=None, repr=False)
    complete: bool = True
    planned: int | None = None
    seconds: float = 0.0
    reference_seconds: float = 0.0
    classes: tuple[str, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further figures of whoever made it, such as the configuration."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))

    @property
    def count(self) -> int:
        """Samples that were seen."""
        return self.outcomes.count

    @property
    def top1(self) -> float:
        return self.outcomes.top1

    @property
    def top5(self) -> float | None:
        return self.outcomes.top5

    @property
    def loss(self) -> float:
        return self.outcomes.loss

    @cached_property
    def comparison(self) -> Comparison | None:
        """With the reference; None without one."""
        return None if self.reference is None else compare(self.outcomes, self.reference)

    @cached_property
    def per_class(self) -> tuple[ClassFigures, ...]:
        """One entry for each label that occurs."""
        return per_class(self.outcomes, self.reference, self.classes)

    def to_json(self) -> dict[str, Any]:
        """Shares in [0, 1], losses in nats; ``float_...`` and what compares are None without a reference."""
        reference = dict.fromkeys(self.outcomes.to_json()) if self.reference is None else self.reference.to_json()
        compared = dict.fromkeys(Comparison.__dataclass_fields__) if self.comparison is None else asdict(self.comparison)
        return {
            "network": self.network,
            **self.facts,
            "dataset": self.dataset,
            "images": self.count,
            "planned": self.planned,
            "complete": self.complete,
            **self.outcomes.to_json(),
            **{f"float_{name}": value for name, value in reference.items()},
            **compared,
            "seconds": self.seconds,
            "float_seconds": self.reference_seconds if self.reference is not None else None,
            "notes": list(self.notes),
            "per_class": [asdict(figures) for figures in self.per_class],
        }

    def __str__(self) -> str:
        seen = f"{self.count:,}" if self.complete else f"{self.count:,} of {self.planned or '?'} (interrupted)"
        lines = [f"{self.network}: {seen} samples of {self.dataset}", f"  {_line(self.outcomes)}"]
        if self.reference is not None and (c := self.comparison) is not None:
            lines.append(f"  float: {_line(self.reference)}")
            lines.append(
                f"  difference {100 * c.difference:+.2f} ± {100 * c.difference_error:.2f} points, same prediction "
                f"{100 * c.agreement:.2f} %, loss {c.loss_difference:+.4f} ± {c.loss_difference_error:.4f}"
            )
        return "\n".join([*lines, *(f"  note: {text}" for text in self.notes)])


def _line(o: Outcomes) -> str:
    five = "" if o.top5 is None or o.top5_error is None else f", top-5 {100 * o.top5:.2f} ± {100 * o.top5_error:.2f} %"
    return f"top-1 {100 * o.top1:.2f} ± {100 * o.top1_error:.2f} %{five}, loss {o.loss:.4f} ± {o.loss_error:.4f}"

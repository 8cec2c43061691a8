"""Accuracy on labelled samples: one network, or many configurations of one beside its float form."""

from lowbit.evaluation.evaluate import evaluate, evaluate_all
from lowbit.evaluation.report import EvaluationReport

__all__ = ["EvaluationReport", "evaluate", "evaluate_all"]

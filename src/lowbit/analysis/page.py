"""An analysis as a page that needs nothing else: no network, no library."""

from __future__ import annotations

import json
from importlib.resources import files

from lowbit.analysis.report import AnalysisReport

__all__ = ["page"]


def page(report: AnalysisReport) -> str:
    """HTML with the figures inside; plots answer to the mouse, tables sort."""
    template = files("lowbit.analysis").joinpath("page.html").read_text()
    data = json.dumps(report.to_json(), allow_nan=False).replace("<", "\\u003c")
    return template.replace("/*DATA*/", data)

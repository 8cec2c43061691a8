"""What is seen of a compilation while it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from lowbit.files import write_whole
from lowbit.graph import Graph
from lowbit.graph.printer import print_graph
from lowbit.graph.verify import verify

__all__ = ["StageLog"]


@dataclass
class StageLog:
    """Called between steps: verifies each graph, times each step, dumps each stage to ``dump_dir``."""

    dump_dir: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def __call__(self, step: str, graph: Graph | None = None, text: str | None = None) -> None:
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._since
        if graph is not None:
            verify(graph)
            text = text or (print_graph(graph) if self.dump_dir else None)
        if self.dump_dir is not None and text is not None:
            write_whole(self.dump_dir / f"{len(self.seconds):02d}-{step}.txt", text)
        self._since = time.perf_counter()

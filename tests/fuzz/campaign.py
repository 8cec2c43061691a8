"""Hours of random cases on all cores: ``make fuzz MINUTES=60``.  Interrupted or over, the next call goes on behind it."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tests.fuzz.state import State

__all__ = ["main", "run_campaign"]

PLAN: dict[str, tuple[int, int]] = {
    "graph": (25, 300),
    "module": (25, 80),
    "compiled": (30, 40),
    "onnx": (10, 60),
    "methods": (10, 60),
    "artifact": (10, 2000),
}
"""Kind -> (share of the time, cases of a batch)."""

BEGIN, END = "<!-- counts of make fuzz -->", "<!-- end -->"
BATCH_SECONDS = 60.0
HANG_SECONDS = 420.0  # a batch and the shrinking of one failure; whoever takes longer hangs
MEMORY = 10 << 30  # address space of a worker
TASKS = 30  # batches until a worker is replaced by a new one


def _work(pipe: Connection, journal: str) -> None:
    """A worker: takes (kind, seed, cases), gives back a Batch.  ``journal``: the case under way, should it end the process."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"
    os.environ["LOWBIT_TUNING"] = "off"
    os.environ.setdefault("LOWBIT_CACHE", str(Path(journal).parent / "cache"))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from tests.fuzz.runner import run_artifacts, run_batch

    while (task := pipe.recv()) is not None:
        kind, seed, cases = task
        if kind == "artifact":
            pipe.send(run_artifacts(seed, cases))
        else:
            pipe.send(run_batch(kind, seed, cases, BATCH_SECONDS, journal=Path(journal)))


@dataclass
class Worker:
    """A process and what it is doing."""

    journal: Path
    process: Any = None
    pipe: Connection = None  # type: ignore[assignment]
    task: tuple[str, int, int] | None = None
    since: float = 0.0
    left: int = 0

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, str(self.journal)), daemon=True)
        self.process.start()
        theirs.close()
        self.left = TASKS

    def give(self, kind: str, seed: int, cases: int) -> None:
        if self.left == 0:
            self.stop()
        if self.process is None:
            self.start()
        self.task, self.since, self.left = (kind, seed, cases), time.monotonic(), self.left - 1
        self.journal.write_text("")
        self.pipe.send(self.task)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
        self.process = self.task = None


@dataclass
class Campaign:
    """``deadline``: when no further batch begins."""

    state: State
    kinds: tuple[str, ...]
    deadline: float
    jobs: int
    workers: list[Worker] = field(default_factory=list)
    deaths: int = 0  # of workers, one after the other

    def next_kind(self) -> str:
        """The one furthest behind its share of the time, batches under way included."""
        busy = dict.fromkeys(self.kinds, 0.0)
        for worker in self.workers:
            if worker.task is not None:
                busy[worker.task[0]] += BATCH_SECONDS / 4
        return min(self.kinds, key=lambda kind: (self.state.seconds[kind] + busy[kind]) / PLAN[kind][0])

    def run(self, show: Any) -> None:
        self.workers = [Worker(self.state.folder / f"worker-{index}.txt") for index in range(self.jobs)]
        try:
            while True:
                for worker in self.workers:
                    if worker.task is None and time.monotonic() < self.deadline:
                        kind = self.next_kind()
                        worker.give(kind, self.state.next_seed(kind), PLAN[kind][1])
                running = [worker for worker in self.workers if worker.task is not None]
                if not running:
                    return
                ready = wait([worker.pipe for worker in running], timeout=1.0)
                for worker in running:
                    if worker.pipe in ready or time.monotonic() - worker.since > HANG_SECONDS:
                        self.collect(worker)
                show()
        finally:
            for worker in self.workers:
                worker.stop()
                worker.journal.unlink(missing_ok=True)
            self.state.save()

    def collect(self, worker: Worker) -> None:
        assert worker.task is not None
        kind, seed, _ = worker.task
        took = time.monotonic() - worker.since
        try:
            if not worker.pipe.poll():
                raise TimeoutError(f"no end after {took:.0f} s")
            self.state.add(worker.pipe.recv())
            worker.task, self.deaths = None, 0
        except (EOFError, OSError) as error:  # TimeoutError is one
            worker.process.join(1)
            code = worker.process.exitcode
            what = str(error) if isinstance(error, TimeoutError) else f"the process ended with {code}"
            text = worker.journal.read_text()
            self.state.seconds[kind] += took
            self.state.fail(kind, seed, f"{what}: {kind}-{seed}", f"# {what}; the case under way:\n{text}")
            worker.stop()
            self.deaths += 1
            if self.deaths > 3 * self.jobs:
                raise SystemExit("no worker finishes a batch: see the text above, or run python -m tests.fuzz.runner") from None
        self.state.save()


def progress_line(state: State, before: State, seconds: float, left: float) -> str:
    """Cases by kind and a second of this run, failures, operations reached."""
    parts = [f"{max(left, 0) / 60:.1f} min left"]
    for kind in PLAN:
        if state.seconds[kind]:
            new = state.cases[kind] - before.cases[kind]
            parts.append(f"{kind} {state.cases[kind]:,} ({new / max(seconds, 1e-9):.1f}/s)")
    reached = len(state.coverage.counts("module", "operation"))
    return " · ".join([*parts, f"{len(state.failures)} failures", f"{reached} spellings of operations"])


def run_campaign(folder: Path, minutes: float, kinds: tuple[str, ...], jobs: int, console: Console) -> State:
    state, before = State.open(folder), State.open(folder)
    began = time.monotonic()
    campaign = Campaign(state, kinds, began + 60 * minutes, jobs)
    last = 0.0
    with Live(console=console, refresh_per_second=2, transient=True) as live:

        def show() -> None:
            nonlocal last
            now = time.monotonic()
            line = progress_line(state, before, now - began, campaign.deadline - now)
            live.update(Text(line))
            if not console.is_terminal and now - last > 60:
                last = now
                console.print(line)

        try:
            campaign.run(show)
        except KeyboardInterrupt:
            console.print("interrupted; the next call goes on from here")
    return state


def main() -> int:
    from tests.fuzz.report import coverage_table, document, never_reached, summary

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kinds", default=",".join(PLAN), help="of " + ", ".join(PLAN))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"), help="seeds, counts and findings of all runs")
    parser.add_argument("--document", type=Path, help="write the counts into this page, between its markers")
    parser.add_argument("--tables", action="store_true", help="print the tables of coverage, operation x rank")
    options = parser.parse_args()
    kinds = tuple(options.kinds.split(","))
    if unknown := set(kinds) - set(PLAN):
        parser.error(f"no kind {', '.join(sorted(unknown))}; kinds: {', '.join(PLAN)}")
    console = Console(width=200 if not sys.stdout.isatty() else None)
    state = run_campaign(options.folder, options.minutes, kinds, options.jobs, console)
    console.print(summary(state))
    console.print(never_reached(state.coverage))
    if options.tables:
        for kind in ("graph", "module", "compiled"):
            console.print(f"\n{kind}\n{coverage_table(state.coverage, kind)}")
    if options.document is not None:
        head, _, rest = options.document.read_text().partition(BEGIN)
        options.document.write_text(f"{head}{BEGIN}\n{document(state)}\n{END}{rest.partition(END)[2]}")
    return 1 if state.failures else 0


if __name__ == "__main__":
    sys.exit(main())

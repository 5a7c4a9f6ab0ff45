"""A whole matrix, from bundles to what follows from their figures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from googlenet_edge import __version__
from googlenet_edge.latency.watch.run import RunWatch
from googlenet_edge.runtime.open_backend import BackendChoice, BackendOptions
from googlenet_edge.scenarios.frames import FrameSet
from googlenet_edge.scenarios.matrix.accuracies import assess
from googlenet_edge.scenarios.matrix.candidates import Candidate, Missing
from googlenet_edge.scenarios.matrix.cell import Cell, Setting
from googlenet_edge.scenarios.matrix.jobs import Evaluated, EvaluateJob, Measured, MeasureJob
from googlenet_edge.scenarios.matrix.machine import cell_machine
from googlenet_edge.scenarios.matrix.process import expect_answer, run_job
from googlenet_edge.scenarios.matrix.result import Matrix, MatrixFacts
from googlenet_edge.scenarios.matrix.rounds import MatrixConfig, Progress, run_matrix
from googlenet_edge.scenarios.matrix.target import Target
from googlenet_edge.scenarios.matrix.work import frames_file

__all__ = ["MatrixRequest", "Told", "bench_matrix"]


@dataclass(frozen=True)
class MatrixRequest:
    """What is to be measured, and what for."""

    candidates: tuple[Candidate, ...]
    missing: tuple[Missing, ...]
    batches: tuple[int, ...]
    backends: Mapping[BackendChoice, BackendOptions]
    """What each is opened with; the batch is set for each cell."""
    config: MatrixConfig
    target: Target
    dataset: str | None = None
    """To measure accuracies on; None: they are as recorded."""
    limit: int | None = None
    """The most images of it."""

    def cells(self) -> list[Cell]:
        """Return the cells, not measured yet; those of a precision that no bundle has say so."""
        titles = [(one.title, one.precision, None) for one in self.candidates]
        lacking = [(one.precision, one.precision, one.reason) for one in self.missing]
        return [
            Cell(Setting(title, precision, batch, backend), failure=reason)
            for title, precision, reason in [*titles, *lacking]
            for backend in self.backends
            for batch in self.batches
        ]


@dataclass(frozen=True)
class Told:
    """Who is told how far it is; each is called between measurements, or while nothing is timed."""

    progress: Callable[[Progress], None] = lambda _progress: None
    evaluating: Callable[[str, str], None] = lambda _title, _phase: None


def bench_matrix(
    request: MatrixRequest, frames: FrameSet, *, watch: RunWatch, stop: threading.Event, told: Told | None = None
) -> Matrix:
    """Measure all cells in rounds, then the accuracies, and return what there is when ``stop`` is set.

    ``watch`` has been entered; it is started and ended here. Raises OSError where no process can be started, or where
    there is no room for the frames.
    """
    told = told or Told()
    by_title = {one.title: one for one in request.candidates}
    started_at = _now()
    with frames_file(frames.images) as frames_fd:

        def measure(setting: Setting, number: int, min_queries: int) -> Measured:
            config = request.config
            job = MeasureJob(
                bundle=by_title[setting.title].bundle.path.absolute(),
                options=replace(request.backends[setting.backend], max_batch=setting.batch),
                batch=setting.batch,
                frames_fd=frames_fd,
                percent=config.percent,
                min_duration_ns=config.min_duration_ns,
                max_duration_ns=config.max_duration_ns,
                min_queries=min_queries,
                seed=config.seed + number,
                include_preprocess=config.include_preprocess,
            )
            return expect_answer(Measured, run_job(job, stop=stop, descriptors=(frames_fd,)))

        watch.start()
        cells = run_matrix(
            request.cells(),
            request.config,
            measure,
            stop=stop,
            batches_wanted=request.target.batches_wanted,
            on_progress=told.progress,
        )
    watch.end()

    def evaluate(candidate: Candidate, backend: BackendChoice, batch: int) -> Evaluated:
        job = EvaluateJob(
            bundle=candidate.bundle.path.absolute(),
            options=replace(request.backends[backend], max_batch=batch),
            dataset=Path(request.dataset or ""),
            limit=request.limit,
        )
        answer = run_job(job, stop=stop, on_phase=lambda phase: told.evaluating(candidate.title, phase))
        return expect_answer(Evaluated, answer)

    complete = not stop.is_set()
    wanted = request.dataset is not None and complete
    accuracies, doubts, assessed = assess(request.candidates, cells, evaluate if wanted else None)
    episodes = watch.record.episodes
    return Matrix(
        config=request.config,
        candidates=request.candidates,
        cells=cells,
        accuracies=accuracies,
        machines=tuple(cell_machine(cell, watch.energy, episodes) for cell in cells),
        target=request.target,
        complete=complete and assessed,
        facts=MatrixFacts(__version__, started_at, _now(), frames.description, request.dataset),
        doubts=tuple(doubts),
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

"""A matrix as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from googlenet_edge.latency.summary import nearest_rank
from googlenet_edge.scenarios.matrix.accuracy import CellAccuracy
from googlenet_edge.scenarios.matrix.cell import Figure
from googlenet_edge.scenarios.matrix.format import (
    AccuracyEntry,
    BundleEntry,
    CheckEntry,
    FigureEntry,
    MatrixDocument,
    RecommendationEntry,
    RoundEntry,
    RunEntry,
    SettingEntry,
    TargetEntry,
)
from googlenet_edge.scenarios.matrix.jobs import Measured
from googlenet_edge.scenarios.matrix.result import Matrix

__all__ = ["definitions", "matrix_document"]

_COMMON: Final = {
    "frames_per_second": "batch / time of a batch, one batch after the other; the median of the rounds, and from the "
    "lowest to the highest",
    "overlapped_frames_per_second": "with as many batches under way as the backend has slots, as `run` has them",
    "peak": "the most memory of the process, with its Python and its frames; what a discrete GPU holds is not in it",
    "joules_per_frame": "of the rails that the machine's meters read, over the measured batches: the whole machine's",
    "range": "of a percentile: from the lowest to the highest of the rounds' own, and up to what is not exceeded with "
    "99 % confidence by the number of batches (early stopping); unknown where there are too few of them",
    "accuracy": "ranges are 95 % intervals",
    "unbeaten": "no other setting is as good in latency, rate and accuracy, and in one of them clearly better",
    "met": "all of the figure's range is within the limit; one that straddles it is not shown to meet it",
}


def definitions(matrix: Matrix) -> dict[str, str]:
    """Return what the figures contain."""
    contains = next((one.contains for cell in matrix.cells for one in cell.rounds), "nothing was measured")
    return {"latency": f"of a batch, from its being begun to its results, all frames ready: {contains}", **_COMMON}


def matrix_document(matrix: Matrix, machine: Mapping[str, object], watched: Mapping[str, object]) -> dict[str, object]:
    """Return a matrix as JSON values; ``watched`` has its ``state``, ``watch`` and ``energy``."""
    config, facts, wanted = matrix.config, matrix.facts, matrix.target
    found = matrix.recommendation
    document = MatrixDocument(
        schema_version=1,
        kind="matrix",
        run=RunEntry(
            version=facts.version,
            started_at=facts.started_at,
            ended_at=facts.ended_at,
            ended="complete" if matrix.complete else "stopped",
            rounds=config.rounds,
            min_duration_s=round(config.min_duration_ns / 1e9, 6),
            max_duration_s=round(config.max_duration_ns / 1e9, 6),
            percent=config.percent,
            seed=config.seed,
            include_preprocess=config.include_preprocess,
            frame_set=facts.frames,
            dataset=facts.dataset,
        ),
        definitions=definitions(matrix),
        machine=dict(machine),
        state=_section(watched, "state"),
        watch=_section(watched, "watch"),
        energy=_section(watched, "energy"),
        bundles=tuple(
            BundleEntry(
                title=one.title,
                path=str(one.bundle.path),
                model=one.bundle.name,
                precision=one.precision,
                graph_sha256=one.bundle.graph_sha256,
                checkpoint_sha256=one.bundle.manifest.lineage.checkpoint.sha256,
            )
            for one in matrix.candidates
        ),
        settings=tuple(_setting(matrix, index) for index in range(len(matrix.cells))),
        target=TargetEntry(
            latency_ms=wanted.latency_ms,
            percent=wanted.percent,
            frames_per_second=wanted.frames_per_second,
            min_top1_percent=wanted.min_top1_percent,
            max_drop_points=wanted.max_drop_points,
        )
        if wanted.wanted
        else None,
        recommendation=None
        if found is None
        else RecommendationEntry(chosen=found.chosen, nearest=found.nearest, why=found.why),
        notes=tuple(matrix.notes),
    )
    plain: dict[str, object] = msgspec.to_builtins(document)
    return plain


def _setting(matrix: Matrix, index: int) -> SettingEntry:
    cell, machine, percent = matrix.cells[index], matrix.machines[index], matrix.config.percent
    last = cell.rounds[-1] if cell.rounds else None
    checks = () if matrix.recommendation is None else matrix.recommendation.checks[index]
    accuracy = matrix.accuracy(cell)
    return SettingEntry(
        bundle=cell.setting.title,
        precision=cell.setting.precision,
        batch=cell.setting.batch,
        backend=cell.setting.backend,
        computed_by=None if last is None else last.line,
        classifier={} if last is None else last.classifier,
        failure=cell.failure,
        batches=cell.batches,
        p50_ms=_figure(cell.latency_ms(50)),
        percentile_ms=_figure(cell.latency_ms(percent)),
        reliable=cell.reliable(percent),
        frames_per_second=_figure(cell.frames_per_second()),
        overlapped_frames_per_second=_figure(cell.frames_per_second(overlapped=True)) if cell.overlaps else None,
        peak_mib=None if cell.peak_bytes is None else _mib(cell.peak_bytes),
        joules_per_frame=None if machine.joules_per_frame is None else round(machine.joules_per_frame, 6),
        throttled=machine.throttled,
        rounds=tuple(_round(one, percent) for one in cell.rounds),
        accuracy=None if accuracy is None else _accuracy(accuracy),
        unbeaten=index in matrix.unbeaten,
        checks=tuple(CheckEntry(standing=one.standing, said=one.said) for one in checks),
    )


def _round(one: Measured, percent: int) -> RoundEntry:
    ordered = np.sort(np.array(one.durations_ns, dtype=np.int64))
    rate = one.overlapped_frames_per_second
    return RoundEntry(
        batches=len(ordered),
        p50_ms=nearest_rank(ordered, 50) / 1e6,
        percentile_ms=nearest_rank(ordered, percent) / 1e6,
        max_ms=int(ordered[-1]) / 1e6,
        frames_per_second=round(one.frames_per_second, 3),
        overlapped_frames_per_second=None if rate is None else round(rate, 3),
        warmup_batches=one.warmup_queries,
        warmup_ms=one.warmup_ns / 1e6,
        steady=one.steady,
        warmup_note=one.warmup_note,
        peak_mib=_mib(one.peak_bytes),
        complete=one.complete,
    )


def _accuracy(accuracy: CellAccuracy) -> AccuracyEntry:
    return AccuracyEntry(
        source=accuracy.source,
        dataset=accuracy.dataset,
        images=accuracy.count,
        skipped=accuracy.skipped,
        top1_percent=FigureEntry(value=accuracy.top1.value, low=accuracy.top1.low, high=accuracy.top1.high),
        top5_percent=accuracy.top5_percent,
        agreement_percent=accuracy.agreement_percent,
        drop_points=_figure(accuracy.drop),
    )


def _figure(figure: Figure | None) -> FigureEntry | None:
    if figure is None:
        return None
    return FigureEntry(value=_rounded(figure.value), low=_rounded(figure.low), high=_rounded(figure.high))


def _rounded(value: Any) -> Any:
    return None if value is None else round(value, 6)


def _mib(size_bytes: int) -> float:
    return round(size_bytes / (1 << 20), 1)


def _section(watched: Mapping[str, object], name: str) -> dict[str, Any]:
    found = watched.get(name)
    return dict(found) if isinstance(found, Mapping) else {}

"""Which figures of several reports can be compared."""

from __future__ import annotations

from collections.abc import Sequence

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.figures import Figure
from googlenet_edge.latency.comparison.read import Run
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX, WAIT
from googlenet_edge.latency.subject import subject_of

__all__ = ["chosen_figures", "kinds"]


def chosen_figures(runs: Sequence[Run], stages: Sequence[str], percentiles: Sequence[int]) -> list[Figure]:
    """Return the figures of the stages, or, where none is named, of all that say something, and the rates too.

    Raises :class:`InputError` for a stage that not all runs have, and where there is no figure that all have.
    """
    common = [name for name in runs[0].durations if all(name in run.durations for run in runs) and name != WAIT]
    counted = kinds(runs)
    if len(counted) > 1:  # a batch of 8 does not take as long as one of 16, and need not
        common = []
    for stage in stages:
        if stage not in common:
            known = ", ".join(common) or f"none, as their times are of {' and of '.join(counted)}"
            raise InputError(f"stages: got {stage!r}, expected some of those that all reports have: {known}")
    own = stages or subject_of(runs[0].document).own
    named = [stage for stage in common if not own or stage in own or (not stages and _by_device(stage))]
    figures = [Figure(stage, p) for stage in named for p in percentiles]
    if not stages:
        figures += [figure for figure in runs[0].values if figure.percent is None]
    figures = [figure for figure in figures if all(figure in run.values for run in runs)]
    if not figures:
        raise InputError(
            f"{', '.join(str(run.path) for run in runs)}: got no figure that all of them have, expected at least one"
        )
    return figures


def _by_device(stage: str) -> bool:
    return stage.startswith(DEVICE_STAGE_PREFIX)


def kinds(runs: Sequence[Run]) -> list[str]:
    """Return what the reports count, each once: ``["batches of 8", "batches of 16"]``."""
    return list(dict.fromkeys(subject_of(run.document).kind for run in runs))

"""The search for a camera's highest sustained rate: which rates were tried, and which held."""

from __future__ import annotations

from googlenet_edge.latency.page.figure import figure, legend
from googlenet_edge.latency.page.markup import Html, element, table
from googlenet_edge.latency.page.scales import Frame, Scale, Size, drawing, grid, linear
from googlenet_edge.latency.page.words import count, milliseconds
from googlenet_edge.latency.scenario_format import SustainedEntry, TrialEntry

__all__ = ["trials"]


def trials(sustained: SustainedEntry) -> Html | None:
    """Return the plot; None where nothing was tried."""
    tried = sustained.trials
    if not tried:
        return None
    low, high = min(trial.fps for trial in tried), max(trial.fps for trial in tried)
    room = max(0.15 * (high - low), 0.02 * high)  # rates are near each other, and no bars: the axis need not begin at 0

    def draw(size: Size) -> Html:
        ticks = tuple((float(i + 1), str(i + 1)) for i in _marked(len(tried), 12 if size.width > 500 else 6))
        x = Scale(0.5, len(tried) + 0.5, size.left, size.width - size.right, ticks)
        y = linear(max(0.0, low - room), high + room, size.height - size.bottom, size.top + 8, 5)
        frame = Frame(size, x, y, "trial", "frames/s")
        parts: list[str | None] = [grid(frame)]
        if sustained.fps is not None:
            height = y.place(sustained.fps)
            parts.append(
                element("line", class_="limit", x1=size.left, x2=size.width - size.right, y1=height, y2=height)
            )
        parts += [_mark(frame, i, trial) for i, trial in enumerate(tried, 1)]
        parts += [_label(frame, i, trial) for i, trial in enumerate(tried, 1) if trial is sustained.confirmed]
        said = "none" if sustained.fps is None else f"{sustained.fps:.4g} frames per second"
        return drawing(size, f"Rates tried, {count(len(tried))} of them; highest that held: {said}", parts)

    keys = [("trial held", "held"), ("trial failed", "did not hold"), ("trial held confirming", "longer run")]
    keys += [("limit", "highest sustained rate")] if sustained.fps is not None else []
    shown = sustained.confirmed
    says = f"A rate holds with {sustained.rule}. "
    if shown is None:
        says += f"None was: {sustained.ended}."
    else:
        says += (
            f"{shown.fps:.4g} frames/s held for {shown.duration_s:.0f} s: {count(shown.offered)} frames, "
            f"p{sustained.percent} {milliseconds(shown.latency_ms)} ms, deadline {milliseconds(shown.deadline_ms)} ms. "
            f"Found: {sustained.found}."
        )
    rows = [_row(trial) for trial in tried]
    headings = ["frames/s", "held", "seconds", "frames", "dropped", "late", f"p{sustained.percent}, ms", "deadline, ms"]
    return figure("trials", draw, says=says, table=table(headings, rows), key=legend(*keys))


def _marked(trials: int, most: int) -> list[int]:
    step = -(-trials // most)
    return list(range(0, trials, step))


def _mark(frame: Frame, number: int, trial: TrialEntry) -> Html:
    x, y = frame.x.place(number), frame.y.place(trial.fps)
    kind = f"trial {'held' if trial.sustained else 'failed'}{' confirming' if trial.confirming else ''}"
    what = "held" if trial.sustained else f"{trial.dropped} dropped, {trial.late} late of {trial.offered}"
    return element(
        "circle", element("title", f"{trial.fps:.4g} frames/s: {what}"), class_=kind, cx=x, cy=y,
        r=7 if trial.confirming else 4.5, data_trial=str(number), data_fps=repr(trial.fps),
    )  # fmt: skip


def _label(frame: Frame, number: int, trial: TrialEntry) -> Html:
    x, y = frame.x.place(number), frame.y.place(trial.fps)
    anchor = "end" if x > frame.size.width - frame.size.right - 24 else "middle"
    return element("text", f"{trial.fps:.4g}", class_="value", x=x + (8 if anchor == "end" else 0), y=y - 12,
                   text_anchor=anchor)  # fmt: skip


def _row(trial: TrialEntry) -> tuple[str, ...]:
    return (
        f"{trial.fps:.4g}",
        f"{'yes' if trial.sustained else 'no'}{', longer run' if trial.confirming else ''}",
        f"{trial.duration_s:.1f}",
        count(trial.offered),
        count(trial.dropped),
        count(trial.late),
        milliseconds(trial.latency_ms),
        milliseconds(trial.deadline_ms),
    )

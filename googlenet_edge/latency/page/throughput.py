"""Offline: throughput over batch sizes, as bars and as a table."""

from __future__ import annotations

from googlenet_edge.latency.page.figure import figure, legend
from googlenet_edge.latency.page.markup import Html, element, joined, table
from googlenet_edge.latency.page.scales import Frame, Scale, Size, drawing, grid, linear
from googlenet_edge.latency.page.words import count, milliseconds, share
from googlenet_edge.latency.scenario_format import BatchSizeEntry, OfflineScenario

__all__ = ["throughput"]

_LATENCY = "capture_to_emitted"


def throughput(scenario: OfflineScenario) -> Html | None:
    """Return the plot and what was left out; None without a size."""
    sizes = scenario.sizes
    if not sizes:
        return None
    most = max(one.frames_per_second for one in sizes) * 1.15 or 1.0

    def draw(size: Size) -> Html:
        room = size.inner_width / len(sizes)
        middles = [size.left + (i + 0.5) * room for i in range(len(sizes))]
        # Batch sizes are names here, each with the same room.
        ticks = tuple((i + 0.5, str(one.batch)) for i, one in enumerate(sizes))
        x = Scale(0.0, float(len(sizes)), size.left, size.width - size.right, ticks)
        y = linear(0.0, most, size.height - size.bottom, size.top + 8, 5)
        frame = Frame(size, x, y, "frames in a batch", "frames/s")
        parts: list[str | None] = [grid(frame)]
        parts += [_bar(frame, middle, min(60.0, 0.7 * room), one, scenario)
                  for middle, one in zip(middles, sizes, strict=True)]  # fmt: skip
        said = ", ".join(f"{one.batch}: {one.frames_per_second:.1f}" for one in sizes)
        return drawing(size, f"Frames per second by batch size: {said}", parts)

    best = scenario.best
    says = "Frames per second by batch size, each warmed up and measured by itself."
    if best is not None:
        says += f" The best, {best.frames_per_second:.1f} frames/s, is {best.batch} at a time."
    rows = [_row(one, scenario) for one in sizes]
    headings = ["batch size", "frames/s", "of the best", "batch p50, ms", "p99", "max", "frames", "memory, MiB",
                "warm-up"]  # fmt: skip
    left_out = [(str(one.batch), one.reason) for one in scenario.left_out]
    return joined([
        figure("throughput", draw, says=says, table=table(headings, rows),
               key=legend(("bar best", "best"), ("bar size", "other batch sizes"))),
        table(["batch size", "left out, because"], left_out, numbers=False) if left_out else "",
    ])  # fmt: skip


def _bar(frame: Frame, middle: float, width: float, one: BatchSizeEntry, scenario: OfflineScenario) -> Html:
    top, bottom = frame.y.place(one.frames_per_second), frame.y.place(0.0)
    kind = "bar best" if one.batch == scenario.best_batch else "bar size"
    text = f"{one.frames_per_second:.0f}" if one.frames_per_second >= 100 else f"{one.frames_per_second:.1f}"
    return element(
        "g",
        element("rect", class_=kind, x=middle - width / 2, y=top, width=width, height=max(0.0, bottom - top)),
        element("text", text, class_="value", x=middle, y=top - 6, text_anchor="middle"),
        element("title", f"batches of {one.batch}: {one.frames_per_second:.1f} frames/s"),
        class_="size",
        data_batch=str(one.batch),
        data_fps=repr(one.frames_per_second),
    )


def _row(one: BatchSizeEntry, scenario: OfflineScenario) -> tuple[str, ...]:
    latency, best = one.stages.get(_LATENCY), scenario.best
    p50, p99, most = (None, None, None) if latency is None else (latency.p50_ms, latency.p99_ms, latency.max_ms)
    unsure = "" if latency is None or latency.reliable(99) else "\u202f?"
    mark = ", best" if one is best else ", as good" if one.batch == scenario.smallest_near_best else ""
    return (
        f"{one.batch}{mark}",
        f"{one.frames_per_second:.1f}",
        "-" if best is None else share(one.frames_per_second, best.frames_per_second),
        milliseconds(p50),
        milliseconds(p99) + unsure,
        milliseconds(most),
        count(one.frames),
        "-" if one.memory_mib is None else f"{one.memory_mib:.0f}",
        f"{one.warmup.batches}{'' if one.warmup.steady else ', not steady'}",
    )

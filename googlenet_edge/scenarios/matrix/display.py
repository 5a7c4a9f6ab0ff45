"""A matrix for the terminal: a table of the settings, one of the accuracies, and the recommendation under them."""

from __future__ import annotations

from rich.table import Table

from googlenet_edge.latency.summary import minimum_samples
from googlenet_edge.plain import escaped
from googlenet_edge.scenarios.matrix.accuracy import CellAccuracy
from googlenet_edge.scenarios.matrix.cell import Cell, Figure
from googlenet_edge.scenarios.matrix.document import definitions
from googlenet_edge.scenarios.matrix.recommend import accuracy_key
from googlenet_edge.scenarios.matrix.result import Matrix

__all__ = ["matrix_shown"]

_MEDIAN = 50


def matrix_shown(matrix: Matrix) -> list[str | Table]:
    """Return lines and tables, from top to bottom. Lines are not escaped for rich's markup, cells are."""
    config, said = matrix.config, definitions(matrix)
    seconds, number = config.min_duration_ns / 1e9, len(matrix.cells)
    shown: list[str | Table] = [
        f"{number} setting{'s' if number != 1 else ''}, each in a process of its own, {config.rounds} rounds forth and "
        f"back, {seconds:g} s or more each"
        + ("" if matrix.complete else "; stopped before the end, so these are the figures so far"),
        *dict.fromkeys(one.line for cell in matrix.cells for one in cell.rounds[-1:]),
        _settings(matrix),
        *_failures(matrix),
    ]
    if not matrix.measured:
        return [*shown, *matrix.notes, *_recommended(matrix)]
    shown += [
        f"times in ms of a batch; latency = {said['latency']}",
        f"frames/s = {said['frames_per_second']}",
    ]
    if any(cell.overlaps for cell in matrix.cells):
        shown.append(f"overlapped = {said['overlapped_frames_per_second']}")
    shown.append(f"range of p{config.percent} = {said['range'].removeprefix('of a percentile: ')}")
    shown.append(f"MiB = {said['peak']}")
    if any(machine.joules_per_frame is not None for machine in matrix.machines):
        shown.append(f"J/frame = {said['joules_per_frame']}")
    if any(cell.rounds and not cell.reliable(config.percent) for cell in matrix.cells):
        needed = minimum_samples(config.percent)
        shown.append(f"? = p{config.percent} from too few batches to rely on; at 99 % confidence it takes {needed}")
    if _marked(matrix):
        shown.append(f"* = {said['unbeaten']}")
    shown += _accuracies(matrix)
    return [*shown, *matrix.notes, *_recommended(matrix)]


def _settings(matrix: Matrix) -> Table:
    percent = matrix.config.percent
    overlaps = any(cell.overlaps for cell in matrix.cells)
    energy = any(machine.joules_per_frame is not None for machine in matrix.machines)
    # No lines and little space between columns: it must fit 80 characters.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("", *(["backend"] if matrix.several_backends else [])):
        table.add_column(heading, no_wrap=True)
    headings = ["batch", *(["p50"] if percent != _MEDIAN else []), f"p{percent}", "range", "frames/s", "range"]
    headings += [*(["overlapped"] if overlaps else []), "top-1 %", "MiB", *(["J/frame"] if energy else []), ""]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    marked = _marked(matrix)
    for index, cell in enumerate(matrix.cells):
        setting, accuracy = cell.setting, matrix.accuracy(cell)
        rate, fast = cell.frames_per_second(), cell.frames_per_second(overlapped=True)
        joules = matrix.machines[index].joules_per_frame
        table.add_row(
            escaped(setting.title),
            *([setting.backend] if matrix.several_backends else []),
            str(setting.batch),
            *([_number(cell.latency_ms(_MEDIAN))] if percent != _MEDIAN else []),
            _number(cell.latency_ms(percent)) + ("" if not cell.rounds or cell.reliable(percent) else "?"),
            _range(cell.latency_ms(percent)),
            _number(rate),
            _range(rate),
            *([_number(fast) if cell.overlaps else "-"] if overlaps else []),
            "-" if accuracy is None else f"{accuracy.top1.value:.2f}",
            "-" if cell.peak_bytes is None else str(cell.peak_bytes >> 20),
            *(["-" if joules is None else f"{joules:.3f}"] if energy else []),
            "*" if index in marked else "",
        )
    return table


def _marked(matrix: Matrix) -> frozenset[int]:
    """Return which settings are worth having: of one alone there is nothing to say."""
    return matrix.unbeaten if sum(bool(cell.rounds) for cell in matrix.cells) > 1 else frozenset()


def _failures(matrix: Matrix) -> list[str]:
    """Return a line a reason: all batch sizes of a bundle may share one."""
    found: dict[tuple[str, str, bool], list[int]] = {}
    for cell in matrix.cells:
        if cell.failure is not None:
            key = (_bundle_name(matrix, cell), cell.failure, bool(cell.rounds))
            found.setdefault(key, []).append(cell.setting.batch)
    return [
        f"{name}, batch {', '.join(map(str, batches))}: not measured{' to the end' if begun else ''}: {reason}"
        for (name, reason, begun), batches in found.items()
    ]


def _accuracies(matrix: Matrix) -> list[str | Table]:
    known: dict[str, tuple[Cell, CellAccuracy]] = {}
    lacking: dict[str, Cell] = {}
    for cell in matrix.cells:
        accuracy = matrix.accuracy(cell)
        if accuracy is not None:
            known[accuracy_key(cell)] = (cell, accuracy)
        elif cell.rounds:
            lacking[accuracy_key(cell)] = cell
    lines: list[str | Table] = [
        f"accuracy of {_bundle_name(matrix, cell)}: not measured; --dataset measures it" for cell in lacking.values()
    ]
    if not known:
        return lines
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("accuracy in %", no_wrap=True)
    for heading in ("top-1", "95 % interval", "top-5", "as FP32", "lost", "95 % interval", "images"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell, accuracy in known.values():
        drop = accuracy.drop
        table.add_row(
            escaped(_bundle_name(matrix, cell)),
            f"{accuracy.top1.value:.2f}",
            _interval(accuracy.top1),
            "-" if accuracy.top5_percent is None else f"{accuracy.top5_percent:.2f}",
            "-" if accuracy.agreement_percent is None else f"{accuracy.agreement_percent:.2f}",
            "-" if drop is None else f"{drop.value:.2f}",
            "-" if drop is None else _interval(drop),
            str(accuracy.count),
        )
    sources: dict[tuple[str, str, int], list[str]] = {}
    for cell, accuracy in known.values():
        key = (accuracy.source, accuracy.dataset, accuracy.skipped)
        sources.setdefault(key, []).append(_bundle_name(matrix, cell))
    for (source, dataset, skipped), names in sources.items():
        how = "with this backend" if source == "measured" else "when the bundle was made, on the CPU that judged it"
        left_out = f"; {skipped} images could not be used" if skipped else ""
        lines.append(f"{', '.join(names)}: {source} on {dataset}, {how}{left_out}")
    lines.append("as FP32 = images with the same best class; lost = points of top-1 less than FP32, image by image")
    return [table, *lines]


def _recommended(matrix: Matrix) -> list[str]:
    found = matrix.recommendation
    if found is None:
        return []
    if found.chosen is not None:
        cell = matrix.cells[found.chosen]
        checks = "; ".join(one.said for one in found.checks[found.chosen])
        return [f"recommended: {_name(matrix, cell)}: {checks}", *[f"why: {line}" for line in found.why]]
    if found.nearest is None:
        return ["no setting meets the target: nothing was measured"]
    checks = "; ".join(f"{one.standing}: {one.said}" for one in found.checks[found.nearest])
    return [
        "no setting is shown to meet the target",
        f"the nearest is {_name(matrix, matrix.cells[found.nearest])}: {checks}",
        "not shown = its range straddles the limit, or is unknown; a longer --min-duration narrows it, and more images",
    ]


def _name(matrix: Matrix, cell: Cell) -> str:
    return cell.setting.named(backends=matrix.several_backends)


def _bundle_name(matrix: Matrix, cell: Cell) -> str:
    return f"{cell.setting.title}{f', {cell.setting.backend}' if matrix.several_backends else ''}"


def _number(figure: Figure | None) -> str:
    return "-" if figure is None else _digits(figure.value)


def _range(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return "-".join("?" if end is None else _digits(end) for end in (figure.low, figure.high))


def _interval(figure: Figure) -> str:
    return " to ".join("?" if end is None else f"{end:.2f}" for end in (figure.low, figure.high))


def _digits(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"

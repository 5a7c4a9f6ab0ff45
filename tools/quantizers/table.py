"""The comparison as a table, for the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from .evaluator import Score
from .results import Result, rank

__all__ = ["markdown", "rich_tables"]

_HEADINGS = (
    "#", "tool", "SQNR dB", "agrees %", "top-1 %", "INT8 nodes", "table s", "total s", "peak MB", "TensorRT-RTX",
)  # fmt: skip
_MISSING = "-"


def rich_tables(results: Iterable[Result], reference: Score) -> list[Table]:
    """Return one table for each number of images; what fails says why in its row."""
    tables = []
    for size, group in _by_size(results):
        table = Table(
            *_HEADINGS, title=f"{size} calibration images", caption=_caption(reference), box=box.SIMPLE_HEAD,
            pad_edge=False,
        )  # fmt: skip
        for column in (*table.columns[2:9], table.columns[0]):
            column.justify = "right"
        for row in _rows(group):
            table.add_row(*map(escape, row))
        tables.append(table)
    return tables


def markdown(results: Iterable[Result], reference: Score) -> str:
    """Return the same as Markdown, and what each tool was told below it."""
    results = [*results]
    lines = []
    for size, group in _by_size(results):
        lines += [f"**{size} calibration images**", "", _line(_HEADINGS), _line(["---"] * len(_HEADINGS))]
        lines += [_line(row) for row in _rows(group)]
        lines.append("")
    lines += [f"{_caption(reference)}.", ""]
    notes = {result.peer: (_versions(result), result.note) for result in results}
    lines += [f"- `{peer}`: {'; '.join(filter(None, texts))}" for peer, texts in notes.items()]
    return "\n".join(lines) + "\n"


def _by_size(results: Iterable[Result]) -> list[tuple[int, list[Result]]]:
    sizes: dict[int, list[Result]] = {}
    for result in results:
        sizes.setdefault(result.images, []).append(result)
    return sorted(sizes.items())


def _rows(group: Sequence[Result]) -> list[list[str]]:
    places = rank(group)
    order = sorted(group, key=lambda result: (places.get(result.peer, len(group)), -_sqnr(result)))
    return [_row(result, places.get(result.peer)) for result in order]


def _row(result: Result, place: int | None) -> list[str]:
    calibrated, score, found, build = result.calibrated, result.score, result.inspection, result.build
    if calibrated.status != "ok":
        said = calibrated.status
    elif build is None:
        said = _MISSING
    elif build.built:
        said = f"{build.plan_bytes / 1e6:.1f} MB" if build.plan_bytes else "built"
        if any("Defaulting to INT8" in warning for warning in build.warnings):
            said = "reads uint8 as int8"
    else:
        said = "refused" if not build.parsed else "fails"
    types = f" {'/'.join(found.activation_types)}" if found and found.activation_types != ("int8",) else ""
    bias = f", {found.bias} bias" if found and found.bias != "float" else ""
    return [
        str(place) if place else _MISSING,
        result.peer,
        _number(score.sqnr_db if score else None, 2),
        _number(score.agreement_percent if score else None, 2),
        _number(score.top1_percent if score else None, 2),
        f"{found.int8_nodes}/{found.computing_nodes}{types}{bias}" if found else _MISSING,
        _number(calibrated.seconds.get("table"), 1),
        _number(calibrated.seconds.get("total"), 1),
        _number(calibrated.peak_bytes and calibrated.peak_bytes / 1e6, 0),
        said,
    ]


def _sqnr(result: Result) -> float:
    return result.score.sqnr_db if result.score and result.score.sqnr_db is not None else float("-inf")


def _number(value: float | None, digits: int) -> str:
    return _MISSING if value is None else f"{value:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _caption(reference: Score) -> str:
    return f"float32: top-1 {reference.top1_percent:.2f} % on {reference.frames} frames"


def _versions(result: Result) -> str:
    return ", ".join(f"{name} {version}" for name, version in result.calibrated.versions.items())

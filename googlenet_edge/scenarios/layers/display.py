"""A comparison for the terminal: the bundles, their whole inferences and inception modules, and each row of Table 1."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from googlenet_edge.plain import counted, escaped
from googlenet_edge.scenarios.layers.comparison import DEFINITIONS, Comparison, Figures, Part, Spread
from googlenet_edge.scenarios.layers.rounds import Entrant, LayersRequest
from googlenet_edge.scenarios.matrix.jobs import LayersTimed

__all__ = ["comparison_shown"]

_WIDE = 10_000
"""Characters, in which any table fits."""
_LONGEST_ROW = 22
"""Characters; where a library fused several rows, their names take more lines."""


def comparison_shown(
    request: LayersRequest, rounds: Sequence[Sequence[LayersTimed]], comparison: Comparison, *, width: int
) -> list[str | Table]:
    """Return lines and tables, from top to bottom. Lines are not escaped for rich's markup, cells are.

    ``rounds`` are those of each bundle; ``width`` is the terminal's, in characters: where there is room, the ratios of
    the rows have their ranges beside them.
    """
    config, letters = request.config, [one.letter for one in request.entrants]
    many = f"{counted(config.inferences, 'inference')} of {counted(config.batch, 'frame')}"
    times = _times(comparison, letters, ranges=True)
    compact = Console(width=_WIDE).measure(times).maximum > width
    if compact:
        times = _times(comparison, letters, ranges=False)
    said = (
        f"{request.rounds} rounds, each bundle in a process of its own, forth and back; {many} without the layers' "
        "profiler, and as many with it"
    )
    return [
        *_computed_by(rounds, letters),
        said,
        "",
        _bundles(request.entrants, comparison.whole),
        "",
        _parts(comparison, letters),
        f"whole inference = {DEFINITIONS['whole']}",
        f"all layers = {DEFINITIONS['layers']}",
        *([] if comparison.inception is None else [f"inception modules = {DEFINITIONS['inception']}"]),
        f"times and ratios = {DEFINITIONS['rounds']}; ratio = {DEFINITIONS['ratio']}",
        "",
        times,
        f"row = {DEFINITIONS['row']}",
        *([f"~ = slower than {letters[0]} in some rounds, and faster in others"] if compact else []),
        "",
        _work(comparison, letters),
        f"MMAC = millions of {DEFINITIONS['macs']}; GMAC/s = {DEFINITIONS['macs_per_s']}",
        *comparison.notes,
    ]


def _computed_by(rounds: Sequence[Sequence[LayersTimed]], letters: Sequence[str]) -> list[str]:
    lines = [of[-1].line for of in rounds]
    if len(set(lines)) == 1:
        return lines[:1]
    return [f"{letter}: {line}" for letter, line in zip(letters, lines, strict=True)]


def _table() -> Table:
    """No lines and little space between columns: it must fit 80 characters."""
    return Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)


def _bundles(entrants: Sequence[Entrant], whole: Part) -> Table:
    table = _table()
    for heading, most in (("", 1), ("bundle", 21), ("model", 17), ("form", 21), ("precision", 9)):
        table.add_column(heading, overflow="fold", max_width=most)
    table.add_column("GMAC", justify="right", no_wrap=True)
    for one, figures in zip(entrants, whole.figures, strict=True):
        manifest = one.bundle.manifest
        macs = None if figures is None else figures.macs
        table.add_row(
            one.letter, escaped(one.title), escaped(manifest.name), escaped(manifest.form), manifest.precision, _g(macs)
        )
    return table


def _parts(comparison: Comparison, letters: Sequence[str]) -> Table:
    table = _table()
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    for heading in ("ms", "rounds", "GMAC", "GMAC/s", f"ratio to {letters[0]}", "rounds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for part in (comparison.whole, comparison.layers, comparison.inception):
        if part is None:
            continue
        for number, (letter, one) in enumerate(zip(letters, part.figures, strict=True)):
            name = "" if number else part.name
            if one is None:
                table.add_row(name, letter, *["-"] * 6)
                continue
            ratio = ("-", "") if one.ratio is None else (f"{one.ratio.median:.2f}", _range(one.ratio))
            # What the first one is to itself says nothing.
            ratio = ratio if number else ("1", "")
            table.add_row(
                name,
                letter,
                _ms(one.ms.median),
                f"{_ms(one.ms.low)}-{_ms(one.ms.high)}",
                _g(one.macs),
                _rate(one),
                *ratio,
            )
    return table


def _times(comparison: Comparison, letters: Sequence[str], *, ranges: bool) -> Table:
    table = _table()
    table.add_column("row", overflow="fold", max_width=_LONGEST_ROW)
    for number, letter in enumerate(letters):
        table.add_column(f"{letter} ms", justify="right", no_wrap=True)
        if number:
            table.add_column(f"{letter}/{letters[0]}", justify="right", no_wrap=True)
            if ranges:
                table.add_column("rounds", justify="right", no_wrap=True)
    for part in comparison.rows:
        cells = []
        for number, one in enumerate(part.figures):
            cells.append("-" if one is None else _ms(one.ms.median))
            if not number:
                continue
            ratio = None if one is None else one.ratio
            if ranges:
                cells += ["-", ""] if ratio is None else [f"{ratio.median:.2f}", _range(ratio)]
            else:
                cells.append("-" if ratio is None else f"{ratio.median:.2f}{'~' if _either_way(ratio) else ' '}")
        table.add_row(escaped(part.name), *cells)
    return table


def _work(comparison: Comparison, letters: Sequence[str]) -> Table:
    table = _table()
    table.add_column("row", overflow="fold", max_width=_LONGEST_ROW)
    for letter in letters:
        table.add_column(f"{letter} MMAC", justify="right", no_wrap=True)
        table.add_column("GMAC/s", justify="right", no_wrap=True)
    for part in comparison.rows:
        if not any(one is not None and one.macs != 0 for one in part.figures):
            continue  # pooling and the like
        cells = []
        for one in part.figures:
            macs = None if one is None else one.macs
            cells += ["-" if macs is None else f"{macs / 1e6:.2f}", "-" if one is None else _rate(one)]
        table.add_row(escaped(part.name), *cells)
    return table


def _either_way(ratio: Spread) -> bool:
    return ratio.low < 1 < ratio.high


def _range(spread: Spread) -> str:
    return f"{spread.low:.2f}-{spread.high:.2f}"


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 100 else f"{value:.1f}"


def _g(macs: int | None) -> str:
    return "-" if macs is None else f"{macs / 1e9:.3f}"


def _rate(figures: Figures) -> str:
    rate = figures.macs_per_s
    return "-" if rate is None else f"{rate / 1e9:.1f}"

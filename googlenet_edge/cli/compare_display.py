"""What ``googlenet-edge compare`` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from googlenet_edge.cli.output import print_shown
from googlenet_edge.latency.comparison.document import METHODS
from googlenet_edge.latency.subject import subject_of
from googlenet_edge.plain import escaped, printable

if TYPE_CHECKING:
    from rich.console import Console

    from googlenet_edge.latency.comparison.alike import Condition
    from googlenet_edge.latency.comparison.compare import Compared, Comparison
    from googlenet_edge.latency.comparison.judge import Limit, Offence

__all__ = ["print_comparison", "print_judgement"]

_STYLES = {"faster": "green", "slower": "red", "no difference shown": "dim", None: "dim"}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print one table, what it rests on, and what else differs."""
    _line(console, f"baseline: {', '.join(str(run.path) for run in comparison.baseline)}")
    _line(console, f"new:      {', '.join(str(run.path) for run in comparison.new)}")
    for condition in comparison.expected:
        _line(console, f"compared: {_differs(condition)}")
    print_shown([_table(comparison)])
    _line(console, f"ratio = new / baseline; latencies in ms; intervals from {METHODS[comparison.method]}")
    if _judged(comparison):
        _line(
            console,
            f"with {100 * comparison.confidence:.4g} % confidence all {_judged(comparison)} intervals together contain "
            'the true ratios; "no difference shown" does not mean that there is none',
        )
    for reason in dict.fromkeys(one.no_verdict for one in comparison.figures if one.no_verdict):
        of = [_name(one, comparison) for one in comparison.figures if one.no_verdict == reason]
        names = ", ".join(of) if len(of) <= 4 else f"{len(of)} figures"
        _line(console, f"no verdict on {names}: {reason}")
    for warning in comparison.warnings:
        _line(console, f"warning: {warning}")
    if comparison.method == "samples":
        _line(
            console,
            "verdicts are about these runs, and the next start may be faster: to judge programs, give three or "
            "more runs a side, with --new",
        )
    if any("no raw samples" in warning for warning in comparison.warnings):
        _line(console, "for intervals and verdicts: measure with --report FILE --samples")
    for condition in comparison.unexpected:
        _line(console, f"warning: not alike: {_differs(condition)}")
    if comparison.unexpected:
        names = ",".join(dict.fromkeys(one.name.partition(".")[2] for one in comparison.unexpected))
        _line(console, f"a difference may come from these; where one is what you compare, say so: --expect {names}")


def print_judgement(
    comparisons: Sequence[Comparison], offences: Sequence[Offence], limit: Limit, console: Console
) -> None:
    """Print what ``--fail-if-slower`` found."""
    percent = f"{100 * limit.share:g} %"
    unjudged = [_name(one, each) for each in comparisons for one in each.figures if one.interval is None]
    if unjudged and not limit.strict:
        _line(console, f"limit of {percent}: not judged, for want of an interval: {', '.join(unjudged)}")
    if not offences:
        shown = "every figure is surely within it" if limit.strict else "no figure is shown to be beyond it"
        _line(console, f"limit of {percent}: kept: {shown}")
    for offence in offences:
        slowdown, name = offence.compared.slowdown, _name(offence.compared, comparisons[0])
        if slowdown is None:
            _line(console, f"limit of {percent}: failed: {name}: no interval, so that it cannot be excluded")
        elif offence.shown:
            _line(console, f"limit of {percent}: failed: {name} is slower by at least {_percent(slowdown[0])}")
        else:
            _line(console, f"limit of {percent}: failed: {name} may be slower by up to {_percent(slowdown[1])}")


def _name(one: Compared, comparison: Comparison) -> str:
    """Return a figure's name as in the table; all comparisons of one call are of the same scenario."""
    stage, percent = one.figure.stage, one.figure.percent
    return one.figure.name if percent is None else f"{_stage(stage, comparison)} p{percent}"


def _stage(stage: str, comparison: Comparison) -> str:
    return subject_of(comparison.baseline[0].document).name_of(stage)


def _table(comparison: Comparison) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("", no_wrap=True)
    for title in ("baseline", "new", "ratio", "interval"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    before = ""
    for one in comparison.figures:
        title = one.figure.name if one.figure.percent is None else _stage(one.figure.stage, comparison)
        table.add_row(
            "" if title == before else escaped(title),
            "" if one.figure.percent is None else f"p{one.figure.percent}",
            _value(one, one.baseline),
            _value(one, one.new),
            "-" if one.ratio is None else _factor(one.ratio),
            "-" if one.interval is None else " to ".join(map(_factor, one.interval)),
            f"[{_STYLES[one.verdict]}]{one.verdict or 'no verdict'}[/]",
        )
        before = title
    return table


def _judged(comparison: Comparison) -> int:
    return sum(one.interval is not None for one in comparison.figures)


def _value(one: Compared, value: float) -> str:
    if one.figure.percent is None:
        return f"{value:.1f}"
    milliseconds = value / 1e6
    return f"{milliseconds:.3f}" if abs(milliseconds) < 10 else f"{milliseconds:.2f}"


def _factor(ratio: float) -> str:
    if ratio == 0 or math.isinf(ratio):
        return "?"
    return f"{ratio:.3f}" if 0.01 <= ratio < 100 else f"{ratio:.3g}"


def _percent(factor: float) -> str:
    return "an unknown share" if math.isinf(factor) else f"{100 * (factor - 1):.1f} %"


def _differs(condition: Condition) -> str:
    sides = (" or ".join(map(_shown, values)) for values in (condition.baseline, condition.new))
    return f"{condition.name}: {' -> '.join(sides)}"


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "/".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "unknown" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:16]}..."


def _line(console: Console, text: str) -> None:
    console.print(printable(text), markup=False, soft_wrap=True)

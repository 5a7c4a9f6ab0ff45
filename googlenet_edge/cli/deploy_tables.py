"""What ``deploy`` prints when it is done."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from googlenet_edge.bundle import Comparison, Step
    from googlenet_edge.deploy import Deployment
    from googlenet_edge.deploy.precision import Outcome
    from googlenet_edge.quantization.budget import BudgetSearch
    from googlenet_edge.quantization.quantize import Quantized
    from googlenet_edge.quantization.sensitivity import LayerSensitivity

__all__ = ["print_deployment", "print_search", "print_verdict"]


def print_deployment(deployment: Deployment, console: Console) -> None:
    """Print the steps, what the precision costs, and the bundle."""
    manifest, outcome = deployment.bundle.manifest, deployment.outcome
    _print_steps(deployment.steps, console)
    if outcome is not None:
        _print_outcome(outcome, console)
    elif deployment.accuracy is not None:
        accuracy = deployment.accuracy
        console.print(
            f"top-1 {accuracy.top1_percent:.2f} %, top-5 {accuracy.top5_percent:.2f} % "
            f"({accuracy.count} images of {accuracy.dataset})",
            markup=False,
        )
    graph = manifest.record(manifest.graph)
    gmacs = sum(row.macs for row in manifest.nodes) / 1e9
    console.print(
        f"{deployment.bundle.path}: {manifest.name}, {manifest.form} form, {len(manifest.labels)} classes, "
        f"{manifest.precision}, {gmacs:.2f} GMAC, {graph.size_bytes / 1e6:.1f} MB",
        markup=False,
    )


def print_verdict(comparison: Comparison, console: Console) -> None:
    """Print every precision on the test set, and what each costs."""
    console.print(
        f"{comparison.count} images of {comparison.dataset}; agreement and SQNR of the logits are against FP32",
        soft_wrap=True,
        markup=False,
    )
    table = Table(
        "", "top-1", "95 % interval", "top-5", "agreement", "SQNR dB", "MB", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for row in comparison.rows:
        table.add_row(
            row.precision.upper(),
            f"{row.top1_percent:.2f} %",
            f"{row.top1_low_percent:.2f} to {row.top1_high_percent:.2f} %",
            f"{row.top5_percent:.2f} %",
            f"{row.agreement_percent:.2f} %",
            "equal" if math.isinf(row.sqnr_db) else f"{row.sqnr_db:.1f}",
            f"{row.size_bytes / 1e6:.2f}",
        )
    console.print(table)
    for row in comparison.rows[1:]:
        console.print(
            f"{row.precision.upper()} less FP32: {row.difference_points:+.2f} points of top-1 "
            f"(95 % interval, paired: {row.difference_low_points:+.2f} to {row.difference_high_points:+.2f})",
            soft_wrap=True,
        )


def _print_steps(steps: tuple[Step, ...], console: Console) -> None:
    table = Table(title="Each step against the one before it", title_justify="left")
    for heading in ("step", "batch", "frames", "max abs error", "SQNR dB", "top-1 agreement"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    for step in steps:
        for agreement in step.agreements:
            table.add_row(
                step.name,
                str(agreement.batch),
                str(agreement.frames),
                f"{agreement.max_abs_error:.2e}",
                f"{agreement.sqnr_db:.1f}",
                f"{100 * agreement.top1_agreement:.2f} %",
            )
    console.print(table)


def _print_outcome(outcome: Outcome, console: Console) -> None:
    calibration, int8 = outcome.calibration, outcome.int8
    if calibration is not None:
        for warning in calibration.table.images.warnings:
            console.print(f"calibration images: {warning.message}", soft_wrap=True, markup=False)
    if int8 is not None:
        _print_quantized(int8.quantized, console)
        if int8.selection is not None:
            print_search(int8.selection.search, console)
        if outcome.config.precision.sensitivity:
            _print_sensitivity(int8.sensitivity, console)
        console.print(f"not in INT8: {100 * int8.float_share:.2f} % of the multiply-accumulates", markup=False)
    if outcome.verdict is None:
        console.print("not judged on a test set: there was none (--eval)")
        return
    print_verdict(outcome.verdict.comparison, console)
    if outcome.verdict.unsure:
        console.print(outcome.verdict.doubt, soft_wrap=True, markup=False)


def print_search(search: BudgetSearch, console: Console) -> None:
    """Print which layers stay in floating point, and why."""
    console.print(
        f"selection set: FP32 {search.float_percent:.2f} %, INT8 {search.before_percent:.2f} %, "
        f"budget {search.budget_points:g} points",
        soft_wrap=True,
    )
    if not search.kept:
        console.print("kept in floating point for accuracy: nothing")
        return
    table = Table(
        "kept in floating point", "row", "gain dB", "top-1 without", "GMAC", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.columns[0].overflow = "fold"
    for column in table.columns[2:]:
        column.justify = "right"
    for layer in search.kept:
        table.add_row(
            escape(layer.node), escape(layer.row), f"{layer.gain_db:.2f}", f"{layer.top1_percent_without:.2f} %",
            f"{layer.macs / 1e9:.3f}",
        )  # fmt: skip
    console.print(table)
    console.print(f"selection set with these kept: {search.after_percent:.2f} %", soft_wrap=True)


def _print_quantized(quantized: Quantized, console: Console) -> None:
    """Print what each step gained, which methods were chosen, and what was decided about the ends."""
    console.print(
        "SQNR of the logits on every second calibration image, with raised contrast too, after each step:",
        soft_wrap=True,
    )
    for step, quality in quantized.sqnr_db.items():
        console.print(f"  {quality:6.2f} dB  {step}", markup=False)
    methods = Counter(choice.method for choice in quantized.choices)
    console.print(
        "thresholds by " + ", ".join(f"{method} ({count} tensors)" for method, count in methods.most_common()),
        soft_wrap=True,
        markup=False,
    )
    for end in quantized.ends:
        console.print(
            f"{end.node}: {end.int8_sqnr_db:.2f} dB in INT8, {end.float_sqnr_db:.2f} dB in floating point, "
            f"{end.macs_percent:.3g} % of the work: in {'INT8' if end.in_int8 else 'floating point'}",
            soft_wrap=True,
            markup=False,
        )


def _print_sensitivity(layers: tuple[LayerSensitivity, ...], console: Console) -> None:
    console.print(
        "sensitivity, on calibration images: SQNR of the logits and top-1 agreement with FP32, with one layer alone in "
        "INT8, and with all in INT8 but that one",
        soft_wrap=True,
    )
    table = Table(
        "layer", "row", "alone dB", "agrees", "all but it dB", "agrees", "GMAC", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.columns[0].overflow = "fold"
    for column in table.columns[2:]:
        column.justify = "right"
    for layer in sorted(layers, key=lambda layer: layer.alone_sqnr_db):
        table.add_row(
            escape(layer.node), escape(layer.row), f"{layer.alone_sqnr_db:.1f}", f"{100 * layer.alone_agreement:.1f} %",
            f"{layer.kept_sqnr_db:.1f}", f"{100 * layer.kept_agreement:.1f} %", f"{layer.macs / 1e9:.3f}",
        )  # fmt: skip
    console.print(table)

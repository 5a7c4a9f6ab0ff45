"""``googlenet-edge eval``: how accurate a bundle is on a labelled data set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import check_outside, path_argument
from googlenet_edge.cli.backend_arguments import add_backend_arguments, open_from_arguments
from googlenet_edge.errors import UsageError
from googlenet_edge.plain import escaped

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from googlenet_edge.evaluation.dataset import Dataset
    from googlenet_edge.evaluation.report import Accuracy, EvaluationReport
    from googlenet_edge.runtime.classifier import Classifier

SHOWN_NAMES = 5
"""So many skipped images and empty classes are named; the JSON file has all of them."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("bundle", type=path_argument, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        help="a folder with a folder per class (named by label or class id), a CSV file with the columns path,label, "
        "or demo:test, demo:selection, 'demo:test?count=500'",
    )
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="images per inference (default: 8)")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="worst classes and pairs to show (default: 5)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N images, spread over the set")
    parser.add_argument(
        "--json", type=path_argument, metavar="FILE", help="also write all figures, and each image's classes, here"
    )
    add_backend_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate the bundle and print the tables; see the library function for what is raised."""
    from rich.console import Console

    from googlenet_edge.atomic import atomic_file, check_writable
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.evaluation.dataset import open_dataset
    from googlenet_edge.runtime.classifier import Classifier

    for name in ("batch", "limit"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name}: got {value}, expected at least 1")
    if arguments.top < 0:
        raise UsageError(f"--top: got {arguments.top}, expected 0 or more")
    check_outside(arguments.bundle, {"--json": arguments.json, "--cache": arguments.cache})
    if arguments.json is not None:
        check_writable(arguments.json, what="JSON file")
    bundle = Bundle.open(arguments.bundle)
    dataset = open_dataset(arguments.dataset, bundle.labels)
    if arguments.limit is not None:
        dataset = dataset.limited(arguments.limit)
    backend = open_from_arguments(arguments, bundle)  # after what may be mistyped: an engine may have to be built
    with Classifier(bundle, backend=backend.backend) as classifier:
        described = classifier.describe()
        report = _evaluate(classifier, dataset, arguments.batch)
    if arguments.json is not None:
        document = {"bundle": str(arguments.bundle), "classifier": described, **report.to_dict()}
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
        with atomic_file(arguments.json, what="JSON file") as file:
            # A file name that is not UTF-8 holds lone surrogates: written as the JSON escapes of them.
            file.write(f"{text}\n".encode("utf-8", "backslashreplace"))
    console = Console(highlight=False)
    console.print(escaped(backend.line), soft_wrap=True)
    _print(report, arguments.top, console)
    return 0


def _evaluate(classifier: Classifier, dataset: Dataset, batch: int) -> EvaluationReport:
    import cv2
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from googlenet_edge.evaluation.evaluate import evaluate

    # Damaged images are named in the report; OpenCV's own lines about them would tear the progress bar apart.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    columns = (
        TextColumn("evaluating"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task("evaluating", total=len(dataset), rate="")

        def show(done: int) -> None:
            seconds = display.tasks[0].elapsed or 0.0
            display.update(task, completed=done, rate=_rate(done, seconds))

        return evaluate(classifier, dataset, batch=batch, progress=show)


def _print(report: EvaluationReport, top: int, console: Console) -> None:
    from rich import box
    from rich.table import Table

    rate = _rate(report.count, report.seconds)
    console.print(
        f"{escaped(report.dataset)}: {report.count} images in {report.seconds:.1f} s ({rate}, reading them included)",
        soft_wrap=True,
    )
    if report.skipped:
        console.print(f"left out, because they could not be used: {len(report.skipped)}")
        for image in report.skipped[:SHOWN_NAMES]:
            console.print(f"  {escaped(image.name)}: {escaped(image.reason)}", soft_wrap=True)
        _print_rest(len(report.skipped), console)
    table = Table("", "accuracy", "95 % interval", "right", "of", box=box.SIMPLE_HEAD)
    table.add_row("top-1", *_cells(report.top1))
    if report.top5 is not None:
        table.add_row("top-5", *_cells(report.top5))
    console.print(table)
    if worst := report.worst_classes(top):
        table = Table("worst classes", "accuracy", "95 % interval", "right", "of", box=box.SIMPLE_HEAD)
        for entry in worst:
            table.add_row(escaped(entry.label), *_cells(entry.accuracy))
        console.print(table)
    if pairs := report.worst_pairs(top):
        table = Table("most confused", "taken for", "images", "of the class", box=box.SIMPLE_HEAD)
        for pair in pairs:
            truth, predicted = escaped(report.labels[pair.truth]), escaped(report.labels[pair.predicted])
            table.add_row(truth, predicted, str(pair.count), f"{pair.share_percent:.1f} %")
        console.print(table)
    if empty := report.empty_classes:
        console.print(f"classes without an image: {len(empty)} of {len(report.labels)}")
        for label in empty[:SHOWN_NAMES]:
            console.print(f"  {escaped(label)}")
        _print_rest(len(empty), console)


def _rate(count: int, seconds: float) -> str:
    rate = count / seconds if seconds else 0.0
    return f"{rate:.{0 if rate >= 10 else 1}f} images/s"


def _print_rest(count: int, console: Console) -> None:
    if count > SHOWN_NAMES:
        console.print(f"  and {count - SHOWN_NAMES} more (--json names all)")


def _cells(accuracy: Accuracy | None) -> tuple[str, str, str, str]:
    if accuracy is None:
        return "", "", "", "0"
    low, high = accuracy.interval_percent
    return f"{accuracy.percent:.2f} %", f"{low:.2f} to {high:.2f} %", str(accuracy.correct), str(accuracy.count)

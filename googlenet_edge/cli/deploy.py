"""``googlenet-edge deploy``: from a checkpoint to a bundle."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from googlenet_edge.deploy import Deployment


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "checkpoint",
        help="state dict (.pth, .pt, .safetensors), ONNX classifier (.onnx), or the word 'demo' for the packaged model",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="names of the classes: text, one a line, or JSON")
    parser.add_argument(
        "--normalization",
        metavar="NAME",
        help="what the network was trained with: inception (torchvision's GoogLeNet), imagenet, caffe, unit, or for "
        "example 'mean=0.5;std=0.5;order=rgb'; default: what the checkpoint says, else inception",
    )
    parser.add_argument("--form", help="form of the network, where the weights do not settle it (see inspect)")
    parser.add_argument("--classes", type=int, metavar="N", help="refuse a checkpoint with another number of classes")
    parser.add_argument("--crop", type=int, metavar="PX", help="side of the network's input (default: 224)")
    parser.add_argument("--resize", type=int, metavar="PX", help="short side before the crop (default: crop * 8/7)")
    parser.add_argument("--name", help="what reports call the model (default: the checkpoint's name)")
    parser.add_argument(
        "--frames",
        default="demo:?size=640x360",
        metavar="SOURCE",
        help="frames to prove each step on (default: demo scene)",
    )
    parser.add_argument(
        "--eval", dest="dataset", metavar="DATASET", help="measure the accuracy and put it in the bundle"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is already there")


def run(arguments: argparse.Namespace) -> int:
    """Deploy, and print what each step did to the results."""
    from rich.console import Console

    from googlenet_edge.deploy import DeployConfig, deploy
    from googlenet_edge.model.normalization import parse_normalization

    config = DeployConfig(
        labels=arguments.labels,
        form=arguments.form,
        class_count=arguments.classes,
        normalization=parse_normalization(arguments.normalization) if arguments.normalization else None,
        crop_px=arguments.crop,
        resize_px=arguments.resize,
        name=arguments.name,
        frames=arguments.frames,
        evaluate_on=arguments.dataset,
        overwrite=arguments.overwrite,
    )
    messages = Console(stderr=True, highlight=False)
    started = time.monotonic()

    def progress(step: str) -> None:
        messages.print(f"{time.monotonic() - started:6.1f} s  {step}", markup=False)

    deployment = deploy(arguments.checkpoint, arguments.output, config, progress=progress)
    progress("done")
    _print(deployment, Console(highlight=False))
    return 0


def _print(deployment: Deployment, console: Console) -> None:
    from rich.table import Table

    manifest = deployment.bundle.manifest
    table = Table(title="Each step against the one before it", title_justify="left")
    for heading in ("step", "batch", "frames", "max abs error", "SQNR dB", "top-1 agreement"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    for step in deployment.steps:
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
    if deployment.accuracy is not None:
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

"""``googlenet-edge deploy``: from a checkpoint to a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import path_argument

if TYPE_CHECKING:
    import argparse

    from googlenet_edge.deploy import DeployConfig


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "checkpoint",
        help="state dict (.pth, .pt, .safetensors), ONNX classifier (.onnx), or the word 'demo' for the packaged model",
    )
    parser.add_argument("-o", "--output", type=path_argument, required=True, metavar="DIR", help="the bundle's folder")
    parser.add_argument(
        "--labels", type=path_argument, metavar="FILE", help="names of the classes: text, one a line, or JSON"
    )
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
        "--eval",
        dest="dataset",
        metavar="DATASET",
        help="measure the accuracy and put it in the bundle; nothing else reads this set",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is already there")
    _configure_precision(parser)


def _configure_precision(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "precision",
        "FP16 and INT8 are judged on the CPU as a card computes them, and refused if they cost more accuracy than "
        "allowed. Beside the bundle stay DIR.calibration.json, which the next run reuses, and DIR.quantization.json, "
        "which says how INT8 came about.",
    )
    group.add_argument("--precision", default="fp32", metavar="P", help="fp32, fp16 or int8 (default: fp32)")
    group.add_argument(
        "--images",
        metavar="SOURCE",
        help="calibration images, for int8: a folder, a quoted glob, a video file, a camera, or demo:; for fp16 they "
        "are optional, and the ranges that they give are compared with what FP16 holds",
    )
    group.add_argument("--count", type=int, metavar="N", help="so many calibration images at most (default: 512)")
    group.add_argument(
        "--select",
        metavar="DATASET",
        help="labelled images, other than those of --eval, on which int8 chooses layers to keep in floating point if "
        "it would cost more than the budget",
    )
    group.add_argument(
        "--accuracy-budget",
        type=float,
        metavar="POINTS",
        help="percentage points of top-1 that may be lost against FP32 (default: 0.1)",
    )
    group.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="NODE",
        help="leave this node out of int8 (for fp16: in FP32); may be repeated",
    )
    group.add_argument(
        "--high-precision", metavar="P", help="what int8's other operations compute in: fp16 (default) or fp32"
    )
    group.add_argument("--method", metavar="NAME", help="one threshold method for all tensors (default: by effect)")
    group.add_argument("--weights", metavar="NAME", help="scales of the weights: max (default) or mse")
    group.add_argument("--rounding", metavar="NAME", help="how weights are rounded: gptq (default) or nearest")
    group.add_argument(
        "--equalization",
        type=float,
        metavar="X",
        help="how far channels are made alike in range, 0 to 1 (default: 0.5)",
    )
    group.add_argument("--no-bias-correction", action="store_true", help="leave the biases as they are")
    group.add_argument(
        "--sensitivity", action="store_true", help="measure what each layer costs, also if it is not needed"
    )


def run(arguments: argparse.Namespace) -> int:
    """Deploy, and print what each step did to the results, and what the precision costs."""
    from rich.console import Console

    from googlenet_edge.cli.deploy_display import Display
    from googlenet_edge.cli.deploy_tables import print_deployment, print_search, print_verdict
    from googlenet_edge.deploy import AccuracyError, deploy

    config = _config(arguments)
    console = Console(highlight=False)
    try:
        with Display() as display:
            deployment = deploy(
                arguments.checkpoint, arguments.output, config, progress=display.say, counts=display.count
            )
            display.say("done")
    except AccuracyError as error:
        if error.search is not None:
            print_search(error.search, console)
        if error.verdict is not None:
            print_verdict(error.verdict.comparison, console)
        raise
    print_deployment(deployment, console)
    return 0


def _config(arguments: argparse.Namespace) -> DeployConfig:
    from googlenet_edge.deploy import DeployConfig, PrecisionConfig
    from googlenet_edge.model.normalization import parse_normalization

    return DeployConfig(
        labels=arguments.labels,
        form=arguments.form,
        class_count=arguments.classes,
        normalization=parse_normalization(arguments.normalization) if arguments.normalization else None,
        crop_px=arguments.crop,
        resize_px=arguments.resize,
        name=arguments.name,
        frames=arguments.frames,
        evaluate_on=arguments.dataset,
        precision=PrecisionConfig(
            precision=arguments.precision,
            images=arguments.images,
            count=arguments.count,
            method=arguments.method,
            weights=arguments.weights,
            rounding=arguments.rounding,
            equalization=arguments.equalization,
            bias_correction=not arguments.no_bias_correction,
            keep=tuple(arguments.keep),
            high_precision=arguments.high_precision,
            sensitivity=arguments.sensitivity,
            select_on=arguments.select,
            accuracy_budget=arguments.accuracy_budget,
        ),
        overwrite=arguments.overwrite,
    )

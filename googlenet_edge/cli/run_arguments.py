"""The arguments of ``googlenet-edge run``."""

from __future__ import annotations

import argparse

from googlenet_edge.cli.arguments import path_argument, whole_number
from googlenet_edge.cli.backend_arguments import add_backend_arguments
from googlenet_edge.errors import InputError

__all__ = ["configure"]

_EPILOG = """\
sources:
  0, /dev/video0            a camera
  FILE.mp4                  a video file
  FOLDER, "*.jpg", FILE.jpg images
  http://..., rtsp://...    a network camera
  demo:                     the built-in road-sign scene

Ctrl-C ends the run with its report; a second Ctrl-C ends it at once.
Without --report no file is written: the table on the terminal has the same figures.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("bundle", type=path_argument, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("source", metavar="SOURCE", help="where the frames come from; see below")

    run = parser.add_argument_group("the run")
    run.add_argument(
        "--frames",
        type=whole_number(1),
        metavar="N",
        help="end after N frames, warm-up included (default: when the source ends)",
    )
    run.add_argument("--duration", type=_seconds, metavar="S", help="end after S seconds, warm-up included")
    run.add_argument(
        "--warmup",
        type=whole_number(0),
        default=10,
        metavar="N",
        help="leave the first N frames out of the latency statistics (default: %(default)s)",
    )
    run.add_argument(
        "--top-k", type=whole_number(1), default=5, metavar="K", help="labels per frame (default: %(default)s)"
    )
    run.add_argument("--region", type=_region, metavar="X,Y,W,H", help="classify this part of the frame, in pixels")

    add_backend_arguments(parser)

    outputs = parser.add_argument_group("where results go")
    outputs.add_argument(
        "--jsonl",
        type=_jsonl,
        metavar="FILE|-",
        help="one JSON object a frame; with - on standard output, and all other text on standard error",
    )
    outputs.add_argument(
        "--events", type=_jsonl, metavar="FILE|-", help="one JSON object when a label appears, and one when it leaves"
    )
    outputs.add_argument("--video", type=path_argument, metavar="FILE", help="annotated video: .mp4, .mkv or .avi")
    outputs.add_argument("--window", action="store_true", help="show the annotated frames; q or Esc ends the run")
    outputs.add_argument(
        "--report", type=path_argument, metavar="FILE", help="write the latency report as JSON, e.g. report.json"
    )
    outputs.add_argument(
        "--samples",
        action="store_true",
        help="with --report: write each frame's time points to REPORT-samples.csv beside it",
    )
    outputs.add_argument("--quiet", action="store_true", help="no live line and no table; errors only")

    events = parser.add_argument_group("with --events: when a label appears and leaves")
    for name, default, text in (
        ("appear", 0.6, "probability from which a label appears"),
        ("leave", 0.4, "probability below which it leaves"),
    ):
        events.add_argument(
            f"--{name}", type=_probability, default=default, metavar="P", help=f"{text} (default: %(default)s)"
        )
    for name, smallest, milliseconds, text in (
        ("appear-ms", 0, 200, "a label appears after this time at --appear or more"),
        ("leave-ms", 0, 500, "it leaves after this time below --leave"),
        ("gap-ms", 1, 2000, "all labels leave where no frame came for longer than this"),
    ):
        events.add_argument(
            f"--{name}",
            type=whole_number(smallest),
            default=milliseconds,
            metavar="MS",
            help=f"{text} (default: %(default)s)",
        )

    source = parser.add_argument_group("the source")
    source.add_argument("--size", type=_size, metavar="WxH", help="frame size to ask for")
    source.add_argument(
        "--fps",
        type=_rate,
        metavar="F",
        help="frames per second to ask a camera for; files and demo: then come at this rate, like a camera",
    )
    source.add_argument("--fourcc", metavar="CODE", help="pixel format to ask a camera for, e.g. MJPG")
    source.add_argument(
        "--every-frame", action="store_true", help="live sources: take every frame in turn (default: the newest)"
    )
    source.add_argument("--loop", action="store_true", help="files: begin again at the end")
    source.add_argument(
        "--open-timeout",
        type=whole_number(1),
        default=5000,
        metavar="MS",
        help="for opening a camera or stream (default: 5000)",
    )
    source.add_argument(
        "--read-timeout", type=whole_number(1), default=5000, metavar="MS", help="for the next frame (default: 5000)"
    )


def _jsonl(text: str) -> str:
    return "-" if text == "-" else str(path_argument(text))


def _number(text: str, maximum: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= maximum:  # NaN fails too
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {what} above 0, at most {maximum:g}")
    return value


def _seconds(text: str) -> float:
    return _number(text, 1e9, "a number of seconds")


def _rate(text: str) -> float:
    return _number(text, 1000, "frames per second")


def _probability(text: str) -> float:
    return _number(text, 1, "a probability")


def _region(text: str) -> object:
    from googlenet_edge.types import Region

    try:
        x_px, y_px, width_px, height_px = (int(part) for part in text.split(","))
        return Region(x_px, y_px, width_px, height_px)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected four whole numbers X,Y,W,H in pixels, for example 320,0,640,640"
        ) from error


def _size(text: str) -> tuple[int, int]:
    try:
        width_px, height_px = (int(part) for part in text.lower().split("x"))
    except ValueError:
        width_px = height_px = 0
    if not (0 < width_px <= 65536 and 0 < height_px <= 65536):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a width and a height in pixels, for example 1280x720")
    return width_px, height_px

"""The arguments of ``googlenet-edge run``."""

from __future__ import annotations

import argparse

from googlenet_edge.cli import run_types
from googlenet_edge.cli.arguments import path_argument, whole_number
from googlenet_edge.cli.backend_arguments import add_backend_arguments
from googlenet_edge.cli.machine_watch import add_watch_arguments

__all__ = ["configure"]

_LONGEST_TIMEOUT_MS = 3_600_000
"""As of :class:`~googlenet_edge.capture.options.SourceOptions`."""

_EPILOG = """\
sources:
  0, /dev/video0            a camera
  FILE.mp4                  a video file
  FOLDER, "*.jpg", FILE.jpg images
  http://..., rtsp://...    a network camera
  csi:0                     a Jetson's CSI camera
  "gst: PIPELINE"           GStreamer, up to raw video
  demo:                     the built-in road-sign scene
  @FILE                     what stands in FILE, one source a line: so that an address
                            with a password is in no command line

Several sources share what computes. NAME=SOURCE gives one a name (letters, digits, - and _);
the others are camera1, camera2, ... in turn.

Ctrl-C, SIGTERM or SIGHUP ends the run with its report; a second one ends it at once.
With --append, SIGHUP opens the files anew instead, for log rotation.
Without --report no file is written: the table on the terminal has the same figures.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("bundle", type=path_argument, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "sources", nargs="+", metavar="[NAME=]SOURCE", help="where the frames come from, one or several; see below"
    )
    _add_run(parser)
    add_backend_arguments(parser)
    _add_labels(parser)
    _add_outputs(parser)
    _add_events(parser)
    _add_source(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--frames",
        type=whole_number(1),
        metavar="N",
        help="end after N frames, of all sources together and warm-up included (default: when the sources end)",
    )
    run.add_argument("--duration", type=run_types.seconds, metavar="S", help="end after S seconds, warm-up included")
    run.add_argument(
        "--warmup",
        type=whole_number(0),
        default=10,
        metavar="N",
        help="leave the first N frames of each source out of the latency statistics (default: %(default)s)",
    )
    run.add_argument(
        "--region", type=run_types.region, metavar="X,Y,W,H", help="classify this part of the frame, in pixels"
    )
    which = run.add_mutually_exclusive_group()
    which.add_argument(
        "--every-frame", action="store_true", help="compute every frame in turn (default: files; live: the newest)"
    )
    which.add_argument(
        "--newest-frame",
        action="store_true",
        help="compute the newest frame, and drop those that came meanwhile (default: live sources; files: every one)",
    )
    run.add_argument(
        "--at-once",
        type=whole_number(1, 16),
        metavar="N",
        help="ONNX Runtime: compute N frames at once, each with its share of the cores: more frames a second, each of "
        "which takes longer (default: 2 for files, 1 for live sources and with --threads)",
    )
    run.add_argument(
        "--batch-wait",
        type=whole_number(0, 1000),
        default=2,
        metavar="MS",
        help="several sources: how long a frame may wait for those of the others, so as to be computed together "
        "(default: %(default)s)",
    )


def _add_labels(parser: argparse.ArgumentParser) -> None:
    labels = parser.add_argument_group("labels")
    labels.add_argument(
        "--top-k", type=whole_number(1), default=5, metavar="K", help="labels per frame (default: %(default)s)"
    )
    labels.add_argument(
        "--smoothing",
        type=run_types.milliseconds,
        metavar="MS",
        help="average the probabilities over time: a frame counts half after MS (default: each frame by itself)",
    )
    labels.add_argument(
        "--min-probability",
        type=run_types.probability,
        metavar="P",
        help="mark a result as unsure whose best label is below P (default: none is)",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    outputs = parser.add_argument_group("where results go")
    outputs.add_argument(
        "--jsonl",
        type=run_types.lines_target,
        metavar="FILE|-",
        help="one JSON object a frame; with - on standard output, and all other text on standard error",
    )
    outputs.add_argument(
        "--events",
        type=run_types.lines_target,
        metavar="FILE|-",
        help="one JSON object when a label appears, and one when it leaves",
    )
    outputs.add_argument(
        "--append", action="store_true", help="add to the files of --jsonl and --events, instead of replacing them"
    )
    outputs.add_argument(
        "--video",
        type=path_argument,
        metavar="FILE",
        help="annotated video: .mp4, .mkv or .avi; with several sources FILE-NAME.mp4 for each",
    )
    outputs.add_argument("--window", action="store_true", help="show the annotated frames; q or Esc ends the run")
    outputs.add_argument(
        "--on-output-error",
        choices=("stop", "drop"),
        default="stop",
        help="when a result cannot be written, as on a full disk: end the run, or drop and count the result and go on "
        "(default: %(default)s)",
    )
    outputs.add_argument(
        "--report", type=path_argument, metavar="FILE", help="write the latency report as JSON, e.g. report.json"
    )
    outputs.add_argument(
        "--samples",
        action="store_true",
        help="with --report: write each frame's time points to REPORT-samples.csv beside it, or to "
        "REPORT-samples-NAME.csv for each of several sources; until the end they are in REPORT-samples.raw, which "
        "`report` reads if the run is killed",
    )
    add_watch_arguments(outputs)
    outputs.add_argument("--quiet", action="store_true", help="no live line and no table; errors only")


def _add_events(parser: argparse.ArgumentParser) -> None:
    events = parser.add_argument_group("with --events: when a label appears and leaves")
    for name, default, text in (
        ("appear", 0.6, "probability from which a label appears"),
        ("leave", 0.4, "probability below which it leaves"),
    ):
        events.add_argument(
            f"--{name}",
            type=run_types.probability,
            dest=f"{name}_probability",
            metavar="P",
            help=f"{text} (default: {default})",
        )
    for name, smallest, milliseconds, text in (
        ("appear-ms", 0, 200, "a label appears after this time at --appear or more"),
        ("leave-ms", 0, 500, "it leaves after this time below --leave"),
        ("gap-ms", 1, 2000, "all labels leave where no frame came for longer than this"),
    ):
        events.add_argument(
            f"--{name}", type=whole_number(smallest), metavar="MS", help=f"{text} (default: {milliseconds})"
        )


def _add_source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("the sources")
    source.add_argument("--size", type=run_types.size_px, metavar="WxH", help="frame size to ask for")
    source.add_argument(
        "--fps",
        type=run_types.rate,
        metavar="F|native",
        help="frames per second to ask a camera for; files and demo: then come at this rate, like a camera; native: "
        "video files at the rate that they were made for",
    )
    source.add_argument(
        "--fourcc", type=run_types.fourcc, metavar="CODE", help="pixel format to ask a camera for, e.g. MJPG"
    )
    source.add_argument(
        "--buffers", type=whole_number(2, 32), metavar="N", help="frame buffers of a V4L2 camera's driver (default: 4)"
    )
    source.add_argument(
        "--transport", choices=("tcp", "udp"), default="tcp", help="how RTSP sends its packets (default: %(default)s)"
    )
    source.add_argument(
        "--latency",
        type=whole_number(0, 60_000),
        default=0,
        metavar="MS",
        help="how long a network stream may wait for packets that come late (default: %(default)s)",
    )
    source.add_argument("--loop", action="store_true", help="files: begin again at the end")
    source.add_argument(
        "--open-timeout",
        type=whole_number(1, _LONGEST_TIMEOUT_MS),
        default=5000,
        metavar="MS",
        help="how long opening a camera or stream may take (default: %(default)s)",
    )
    source.add_argument(
        "--read-timeout",
        type=whole_number(1, _LONGEST_TIMEOUT_MS),
        default=5000,
        metavar="MS",
        help="how long the next frame of a camera or stream may take, before it counts as lost (default: %(default)s)",
    )
    source.add_argument(
        "--reconnect",
        type=run_types.attempts,
        default=5,
        metavar="N|forever",
        help="how many times in a row to try to open a camera or stream again that was lost, with growing pauses; "
        "with forever, it may also be absent at the start (default: %(default)s)",
    )

"""The ``googlenet-edge`` command: finds the verb, runs it, turns a failure into one message and an exit code."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from googlenet_edge import __version__
from googlenet_edge.cli.journal import JournalFormatter, is_journal, say
from googlenet_edge.cli.streams import discard, prepare_streams, standard_output_failed
from googlenet_edge.errors import GoogLeNetEdgeError, MissingPackageError, UsageError

__all__ = ["main"]

VERBS = {
    "deploy": "make a bundle from a trained checkpoint",
    "calibrate": "measure, on images, how large each activation of a bundle's network gets: what INT8 needs to know",
    "build": "build a bundle's TensorRT engine, for this device or for GPUs that are elsewhere",
    "layers": "show the layers of a bundle's TensorRT engine: types, fused nodes, rows of Table 1; needs no GPU",
    "run": "label the frames of a camera, a video, a stream or the demo scene, with a latency report",
    "eval": "measure a bundle's accuracy on a labelled data set",
    "bench": "measure a bundle: single-stream, multi-stream, offline, a camera at a fixed rate, or each layer; or find "
    "the precision and the batch size to take",
    "report": "show a latency report: as a page for a browser, a table, CSV or Prometheus' text format",
    "compare": "say what of the difference between latency reports is more than chance",
    "inspect": "print Table 1 as computed from a checkpoint or a model form",
    "doctor": "show what this machine has and what is missing for which feature",
}
"""Each verb is a module of :mod:`googlenet_edge.cli` with ``configure(parser)`` and ``run(arguments) -> int``."""


EXTRA_OF = {
    **dict.fromkeys(("torch", "onnx", "onnxsim", "onnxscript", "safetensors"), "export"),
    **dict.fromkeys(("onnxruntime", "cv2"), "cpu"),
    **dict.fromkeys(("tensorrt", "pycuda"), "tensorrt"),
    "tensorrt_rtx": "rtx",
    "cuda": "graphs",
}
"""Which extra of the package brings a module."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with these arguments (default: the process's own) and return the exit code.

    0 = done, 1 = a failure that one message on stderr explains, 2 = wrong usage (argparse raises SystemExit for it),
    3 = ``compare --fail-if-slower``: slower than that; ``bench`` of a matrix: no setting is shown to meet the target.
    """
    prepare_streams()
    # Read by cv2 and by ONNX Runtime when they are imported. OpenCV and FFmpeg write to stderr on their own; what they
    # find arrives as one message of ours. ONNX Runtime would collect telemetry, and leave files in the user's cache.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # Between two frames OpenCV's threads go on spinning: on two x86 cores, to preprocess a 720p frame took 1.3 ms of
    # processor time with them, 0.7 without, and as long on the clock; with them, 3840x2160 was ready 5 % sooner.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    verbose = False
    try:
        run, arguments = _parse(argv)
        verbose = arguments.verbose
        _set_up_logging(verbose=verbose)
        code = run(arguments)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        failed = _explain(error, verbose=verbose)
        if failed is None:
            raise
        return failed
    return code


def _parse(argv: Sequence[str] | None) -> tuple[Callable[[argparse.Namespace], int], argparse.Namespace]:
    """Return the verb's ``run``, and its arguments. Wrong usage ends in SystemExit, with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="googlenet-edge", description="GoogLeNet on the edge, from checkpoint to labels."
    )
    parser.add_argument("--version", action="version", version=f"googlenet-edge {__version__}")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log what is being done; on a failure, show the cause"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    modules = {}
    for verb, summary in VERBS.items():
        modules[verb] = import_module(f"googlenet_edge.cli.{verb}")
        modules[verb].configure(
            verbs.add_parser(verb, help=summary, description=summary[0].upper() + summary[1:] + ".")
        )
    arguments = parser.parse_args(argv)
    return modules[arguments.verb].run, arguments


def _explain(error: BaseException, *, verbose: bool) -> int | None:
    """Print one message about a failure and return the exit code; None if it is a bug, which needs its traceback."""
    if _interrupted(error):
        say("interrupted", logging.WARNING)
        return 1
    if isinstance(error, GoogLeNetEdgeError):
        code, message = 2 if isinstance(error, UsageError) else 1, str(error)
    elif isinstance(error, ModuleNotFoundError):
        # The host's packages are imported plainly where they are needed; a device has none of them.
        extra = EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            return None
        code, message = 1, str(MissingPackageError(str(error.name), extra=extra))
    elif isinstance(error, BrokenPipeError):
        # The reader (head, less) went away: not an error of ours. Keep Python from flushing into the closed pipe again.
        discard(sys.stdout)
        return 1
    elif isinstance(error, OSError):
        code, message = 1, _system_message(error)
    elif isinstance(error, MemoryError):
        code, message = 1, f"out of memory ({error}): close other programs, or use smaller batches"
    else:
        return None
    if verbose:
        logging.getLogger(__name__).error("failed", exc_info=error)
    say(f"error: {message}", logging.ERROR)
    return code


def _set_up_logging(*, verbose: bool) -> None:
    handler = logging.StreamHandler()
    if is_journal(sys.stderr, os.environ):
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))  # the priority says the level
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: a binary package that is interrupted while it is imported raises ImportError."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


def _system_message(error: OSError) -> str:
    full = error.errno == errno.ENOSPC
    if error.filename is not None:
        return f"no space left for {error.filename}: free some and run again" if full else str(error)
    # Whatever is written by name says so in a message of its own, and a stream has none.
    if standard_output_failed():
        what = "standard output"
    elif full:  # the text was too long for the stream's buffer, which is empty; or it has none
        what = "standard output, or a temporary file,"
    else:
        return str(error)
    return f"{what} cannot be written: {error.strerror or error}; make room, or send it elsewhere"

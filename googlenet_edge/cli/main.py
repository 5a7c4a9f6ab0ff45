"""The ``googlenet-edge`` command: finds the verb, runs it, turns a failure into one message and an exit code."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from googlenet_edge import __version__
from googlenet_edge.errors import GoogLeNetEdgeError, MissingPackageError, UsageError

__all__ = ["main"]

VERBS = {
    "deploy": "make a bundle from a trained checkpoint",
    "calibrate": "measure, on images, how large each activation of a bundle's network gets: what INT8 needs to know",
    "build": "build a bundle's TensorRT engine, for this device or for GPUs that are elsewhere",
    "layers": "show the layers of a bundle's TensorRT engine: types, fused nodes, rows of Table 1; needs no GPU",
    "run": "label the frames of a camera, a video, a stream or the demo scene, with a latency report",
    "eval": "measure a bundle's accuracy on a labelled data set",
    "bench": "time each layer of a bundle's engine, by row of Table 1",
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

    0 = done, 1 = a failure that one message on stderr explains, 2 = wrong usage.
    """
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
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # OpenCV and FFmpeg write to stderr on their own; what they find arrives as one message of ours. cv2 reads this.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        code: int = modules[arguments.verb].run(arguments)
        sys.stdout.flush()
    except UsageError as error:
        return _fail(error, 2, verbose=arguments.verbose)
    except GoogLeNetEdgeError as error:
        return _fail(error, 1, verbose=arguments.verbose)
    except ModuleNotFoundError as error:
        # The host's packages are imported plainly where they are needed; a device has none of them.
        extra = EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(MissingPackageError(str(error.name), extra=extra), 1, verbose=arguments.verbose)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, less) went away: not an error of ours. Keep Python from flushing into the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno == errno.ENOSPC:
            print(f"error: no space left on the device ({error.filename}): free some and run again", file=sys.stderr)
            return 1
        return _fail(error, 1, verbose=arguments.verbose)
    except MemoryError as error:
        print(f"error: out of memory ({error}): close other programs, or use smaller batches", file=sys.stderr)
        return 1
    return code


def _fail(error: Exception, code: int, *, verbose: bool) -> int:
    if verbose:
        logging.getLogger(__name__).error("failed", exc_info=error)
    print(f"error: {error}", file=sys.stderr)
    return code

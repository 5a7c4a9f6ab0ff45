"""The arguments that say what shall compute, shared by the verbs that classify frames."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import path_argument, whole_number

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.store import EnginePlaces
    from googlenet_edge.runtime.open_backend import BackendChoice, BackendOptions, OpenedBackend

__all__ = ["MOST_THREADS", "add_backend_arguments", "backend_options", "engine_places", "open_from_arguments"]

MOST_THREADS = 1024
"""As many as :class:`~googlenet_edge.runtime.ort_config.OrtConfig` takes."""

_LARGEST_BATCH = 1024

_CHOICES: dict[str, BackendChoice] = {
    "auto": "auto",
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
}


def add_backend_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add ``--backend``, ``--threads``, ``--device``, ``--max-batch``, ``--no-cuda-graph`` and ``--cache``.

    ``several``: ``--backend`` also takes names with commas between them.
    """
    group = parser.add_argument_group("what computes")
    group.add_argument(
        "--backend",
        choices=None if several else _CHOICES,
        type=_backend_names if several else str,
        metavar="NAME,..." if several else None,
        default="auto",
        help=(f"{', '.join(_CHOICES)}; several for a matrix; " if several else "")
        + "default: TensorRT where there are an NVIDIA GPU and a TensorRT, else ONNX Runtime on the CPU",
    )
    group.add_argument(
        "--threads",
        type=whole_number(1, MOST_THREADS),
        metavar="N",
        help="ONNX Runtime: threads (default: one a physical core)",
    )
    group.add_argument(
        "--device", type=whole_number(0), default=0, metavar="N", help="TensorRT: which GPU (default: %(default)s)"
    )
    group.add_argument(
        "--max-batch",
        type=whole_number(1, _LARGEST_BATCH),
        metavar="N",
        help="TensorRT: use an engine that takes N frames at once (default: the smallest that there is); run: "
        "compute at most N frames together, each of another source; bench --scenario offline: batch sizes up to N",
    )
    group.add_argument("--no-cuda-graph", action="store_true", help="TensorRT: launch each kernel by itself")
    group.add_argument(
        "--cache",
        type=path_argument,
        metavar="FOLDER",
        help="TensorRT: keep engines here (default: in the bundle, or in ~/.cache/googlenet-edge if that is read-only)",
    )


def engine_places(cache: Path | None) -> EnginePlaces:
    """Return where engines are kept, given ``--cache``; ``XDG_CACHE_HOME`` is read here and nowhere else."""
    from googlenet_edge.engine.store import EnginePlaces

    if cache is not None:
        return EnginePlaces(cache=cache, scratch=cache / "scratch")
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The specification says to pass over a relative path.
        default = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "googlenet-edge"
    except RuntimeError:  # a user without a home
        return EnginePlaces()
    return EnginePlaces(fallback=default, scratch=default / "scratch")


def backend_options(
    arguments: argparse.Namespace,
    backend: str,
    *,
    profile_layers: bool = False,
    cameras: int = 1,
    at_once: int = 1,
) -> BackendOptions:
    """Return what the arguments ask for, of the backend that ``--backend`` names so; as :func:`open_from_arguments`."""
    from googlenet_edge.runtime.open_backend import BackendOptions
    from googlenet_edge.runtime.trt_config import TrtConfig

    return BackendOptions(
        choice=_CHOICES[backend],
        threads=arguments.threads,
        at_once=at_once,
        trt=TrtConfig(
            device=arguments.device,
            cuda_graph="off" if arguments.no_cuda_graph else "auto",
            profile_layers=profile_layers,
        ),
        max_batch=arguments.max_batch,
        built_batch=cameras,
        places=engine_places(arguments.cache),
    )


def open_from_arguments(
    arguments: argparse.Namespace, bundle: Bundle, *, profile_layers: bool = False, cameras: int = 1, at_once: int = 1
) -> OpenedBackend:
    """Open what the arguments ask for; a first build shows its progress on standard error.

    An engine that has to be built, and for which the arguments name no batch, takes a frame of each of ``cameras``.
    ``at_once``: the batches that ONNX Runtime computes at once.
    See :func:`googlenet_edge.runtime.open_backend.open_backend` for what is raised.
    """
    from googlenet_edge.cli.build_display import BuildDisplay
    from googlenet_edge.engine.build import BuildSettings
    from googlenet_edge.runtime.open_backend import open_backend

    options = backend_options(
        arguments, arguments.backend, profile_layers=profile_layers, cameras=cameras, at_once=at_once
    )
    if options.choice == "onnxruntime":
        return open_backend(bundle, options)
    with BuildDisplay() as display:
        quiet = getattr(arguments, "quiet", False)
        return open_backend(bundle, options, settings=BuildSettings(on_progress=None if quiet else display.progress))


def _backend_names(text: str) -> str:
    """A type for argparse: one of the backends, or several with commas between them."""
    names = [name.strip() for name in text.split(",")]
    unknown = next((name for name in names if name not in _CHOICES), None)
    if unknown is not None or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected one of {', '.join(_CHOICES)}, or several with commas between them, each once"
        )
    return ",".join(names)

"""``googlenet-edge inspect``: Table 1 as computed from a checkpoint or a form, and the forms side by side."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet_edge.demo import checkpoint_path
from googlenet_edge.errors import MissingPackageError, UsageError
from googlenet_edge.model.table import FORMS, KERAS_FORM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.model.checkpoint import Checkpoint
    from googlenet_edge.model.summary import NetworkSummary

__all__ = ["configure", "run"]

_FORM_NAMES = (*FORMS, KERAS_FORM)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "model",
        metavar="CHECKPOINT|FORM",
        help=f"a .pth, .pt or .safetensors file, the word 'demo' for the packaged model, or a form: "
        f"{', '.join(_FORM_NAMES)} (./NAME for a file of that name)",
    )
    parser.add_argument("--input-px", type=int, default=224, metavar="N", help="input height and width (default: 224)")
    parser.add_argument(
        "--classes", type=int, metavar="N", help="classes of a form (default: 1000); checked in a checkpoint"
    )
    parser.add_argument(
        "--form", choices=_FORM_NAMES, help="form of a checkpoint, where it cannot be told from the weights"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Print the table of the model and the comparison of the forms."""
    if arguments.classes is not None and not 1 <= arguments.classes <= 1_000_000:
        raise UsageError(f"--classes: got {arguments.classes}, expected 1 to 1000000")
    try:
        import torch

        from googlenet_edge.cli.inspect_tables import print_tables
        from googlenet_edge.model.checkpoint import build_network, load_checkpoint
        from googlenet_edge.model.summary import compare_forms, summarize
    except ImportError as error:
        raise MissingPackageError(error.name or "torch", extra="export") from error

    checkpoint = None
    if arguments.model in _FORM_NAMES:
        if arguments.form not in (None, arguments.model):
            raise UsageError(
                f"--form: got {arguments.form!r} for the form {arguments.model!r}; expected it with a checkpoint"
            )
        with torch.device("meta"):
            network = build_network(arguments.model, arguments.classes or 1000)
    else:
        if arguments.model == "demo":
            arguments.model = str(checkpoint_path())
        if not Path(arguments.model).exists() and Path(arguments.model).suffix == "" and os.sep not in arguments.model:
            raise UsageError(
                f"model: got {arguments.model!r}, expected a checkpoint file that exists or one of the forms "
                + ", ".join(_FORM_NAMES)
            )
        checkpoint = load_checkpoint(arguments.model, form=arguments.form, class_count=arguments.classes)
        network = checkpoint.network
    summary = summarize(network, arguments.input_px)
    forms = compare_forms(summary.class_count, arguments.input_px)
    if arguments.json:
        print(json.dumps(_as_json(summary, forms, checkpoint), indent=2, ensure_ascii=False))
    else:
        print_tables(summary, forms, checkpoint)
    return 0


def _as_json(summary: NetworkSummary, forms: Sequence[NetworkSummary], checkpoint: Checkpoint | None) -> dict[str, Any]:
    from dataclasses import asdict

    result: dict[str, Any] = {
        "form": summary.form,
        "classes": summary.class_count,
        "input_px": summary.input_px,
        "parameters": summary.parameters,
        "macs": summary.macs,
        "rows": [asdict(row) for row in summary.rows],
        "forms": [{"form": form.form, "parameters": form.parameters, "macs": form.macs} for form in forms],
    }
    if checkpoint is not None:
        result["checkpoint"] = {
            "path": str(checkpoint.path),
            "sha256": checkpoint.sha256,
            "size_bytes": checkpoint.size_bytes,
            "dtype": checkpoint.dtype,
            "labels": checkpoint.labels,
            "normalization": asdict(checkpoint.normalization) | {"source": checkpoint.normalization_source},
            "auxiliary_heads": checkpoint.auxiliary_heads,
            "metadata": dict(checkpoint.metadata),
        }
    return result

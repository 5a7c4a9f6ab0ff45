"""Writing a checkpoint: weights in half precision with all that is needed to deploy them, in one file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save as serialize
from torch import Tensor, nn

from googlenet_edge.atomic import atomic_file
from googlenet_edge.errors import CheckpointError, InputError
from googlenet_edge.model.normalization import normalization_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from googlenet_edge.types import Normalization

__all__ = ["save_checkpoint"]

RESERVED_METADATA = ("form", "labels", "normalization")
"""Metadata that :func:`save_checkpoint` writes itself."""


def save_checkpoint(
    network: nn.Module,
    path: str | os.PathLike[str],
    *,
    form: str,
    labels: Sequence[str] | None,
    normalization: Normalization,
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the network to ``path`` (``.safetensors``) with all that is needed to deploy it, atomically.

    The auxiliary heads are left out: they serve only training. Convolution and linear weights are stored as ``dtype``;
    biases and batch-norm tensors stay float32, and so does a weight that would lose a channel's precision in ``dtype``.
    The same weights give the same bytes. Raises :class:`InputError` for arguments that do not fit,
    :class:`CheckpointError` for weights that are not finite and :class:`~googlenet_edge.errors.OutputError` where the
    file cannot be written.
    """
    target = Path(path)
    if target.suffix != ".safetensors":
        raise InputError(f"checkpoint to write: got {target.name!r}, expected a name that ends in .safetensors")
    if dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise InputError(f"dtype of a checkpoint: got {dtype}, expected torch.float16, torch.bfloat16 or torch.float32")
    class_count = getattr(network, "class_count", None)
    if labels is not None and class_count is not None and len(labels) != class_count:
        raise InputError(f"labels: got {len(labels)}, expected {class_count}, one for each class of the network")
    clash = sorted(set(metadata or {}) & set(RESERVED_METADATA))
    if clash:
        raise InputError(f"metadata: got {', '.join(clash)}, which are this function's own arguments; rename them")
    header = dict(metadata or {}) | {"form": form, "normalization": normalization_to_json(normalization)}
    if labels is not None:
        header["labels"] = json.dumps(list(labels), ensure_ascii=False)
    tensors = {
        name: _stored(name, tensor, dtype)
        for name, tensor in network.state_dict().items()
        if not name.startswith(("aux1.", "aux2."))
    }
    content = _with_sorted_metadata(serialize(tensors, header))
    with atomic_file(target, what="checkpoint") as file:
        file.write(content)


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the tensor as it goes into the file: contiguous, on the CPU."""
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(
            f"tensor {name!r}: got NaN or infinite values, expected finite weights; the training has diverged, "
            "save an earlier state"
        )
    tensor = tensor.float()
    # Batch-norm statistics can be far below half precision's range, and 1-D tensors are 1 % of the file.
    if tensor.ndim < 2 or dtype == torch.float32:
        return tensor
    low = tensor.to(dtype)
    # A batch norm makes the scale of a channel's weights irrelevant, so weight decay may have pushed a channel below
    # what half precision resolves: judge the error channel by channel, against the channel.
    channels, error = tensor.flatten(1), (low.float() - tensor).flatten(1)
    tolerance = 4 * torch.finfo(dtype).eps
    if bool((error.norm(dim=1) <= tolerance * channels.norm(dim=1)).all()):
        return low
    return tensor


def _with_sorted_metadata(content: bytes) -> bytes:
    """Return the safetensors file with its metadata in order, so that the same weights always give the same sha256."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data to 8 bytes
    return len(text).to_bytes(8, "little") + text + content[end:]

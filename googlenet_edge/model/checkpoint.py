"""Loading a checkpoint: weights from a file, as a network of a known form, with its labels and normalization."""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from googlenet_edge.errors import CheckpointError, LabelsError
from googlenet_edge.model.detect import class_count_of, detect_form, first_few, input_channels_of
from googlenet_edge.model.googlenet import GoogLeNet
from googlenet_edge.model.keras_inception import KerasInception
from googlenet_edge.model.labels import labels_from
from googlenet_edge.model.normalization import NORMALIZATIONS, normalization_from_json
from googlenet_edge.model.save import save_checkpoint
from googlenet_edge.model.table import FORMS, KERAS_FORM, form_named
from googlenet_edge.model.weights_file import WeightsFile, read_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from googlenet_edge.types import Normalization

__all__ = ["Checkpoint", "build_network", "load_checkpoint", "save_checkpoint"]

_log = logging.getLogger(__name__)

_AUXILIARY = ("aux1.", "aux2.")
_LABEL_ENTRIES = ("labels", "class_names", "classes", "class_to_idx", "idx_to_class")
"""Where training scripts keep the names of the classes beside the state dict."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what its file says about it."""

    network: nn.Module
    """float32, on the CPU, in evaluation mode; takes (N, ``input_channels``, H, W), normalised, and gives logits."""
    form: str
    """A name of :data:`~googlenet_edge.model.table.FORMS`, or ``keras-inception``."""
    class_count: int
    input_channels: int
    normalization: Normalization
    normalization_source: Literal["argument", "file", "default"]
    """``default``: neither the caller nor the file said, so :data:`NORMALIZATIONS`' ``inception`` is assumed."""
    labels: tuple[str, ...] | None
    """The labels in the file, in the order of the class ids; None where it has none."""
    auxiliary_heads: tuple[str, ...]
    """The auxiliary heads in the file, of which the network has one only where it was asked for."""
    dtype: str
    """The types in which the weights are stored, for example ``"float16, float32"``."""
    path: Path
    sha256: str
    size_bytes: int
    metadata: Mapping[str, str]
    """The metadata of a safetensors file."""


def build_network(form: str, class_count: int = 1000, *, channels: int = 3, auxiliary: bool = False) -> nn.Module:
    """Return a fresh network of the form with this name, in training mode.

    float32 (N, ``channels``, H, W), RGB, normalised -> logits (N, ``class_count``). Raises
    :class:`~googlenet_edge.errors.UsageError` for a form that does not exist.
    """
    if form == KERAS_FORM:
        return KerasInception(class_count, channels)
    return GoogLeNet(form_named(form), class_count, channels=channels, auxiliary=auxiliary)


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    form: str | None = None,
    class_count: int | None = None,
    normalization: Normalization | None = None,
    auxiliary: bool = False,
) -> Checkpoint:
    """Load a state dict (``.pth``, ``.pt``) or a ``.safetensors`` file as a network that is ready to be exported.

    The form and the number of classes are read from the weights; ``form`` overrides the first, ``class_count`` only
    checks the second. Wrappers around the state dict and prefixes of its names are taken off, and what else is in the
    file is ignored. Nothing in the file is ever run (``weights_only=True``). With ``auxiliary`` the auxiliary heads are
    loaded too, to train on; without, they are left out. Raises :class:`CheckpointError` for a file that is not such a
    checkpoint and says what it is; :class:`~googlenet_edge.errors.UsageError` for a form that does not exist.
    """
    file = read_weights(Path(path))
    where = f"checkpoint {os.fspath(path)}"
    try:
        _check_types(file.tensors)
        shapes = {name: tuple(tensor.shape) for name, tensor in file.tensors.items()}
        chosen = form or _stated_form(file.metadata) or detect_form(shapes)
        found_count, channels = class_count_of(shapes), input_channels_of(shapes)
        with torch.device("meta"):  # shapes only: the values come from the file
            network = build_network(chosen, found_count or 1, channels=channels, auxiliary=auxiliary)
        tensors = _fitting(file.tensors, network, chosen, class_count)
        network.load_state_dict({name: _loaded(name, tensor) for name, tensor in tensors.items()}, assign=True)
        if normalization is None and "normalization" in file.metadata:
            stated: Normalization | None = normalization_from_json(file.metadata["normalization"])
        else:
            stated = None
    except CheckpointError as error:
        raise CheckpointError(f"{where}: {error}") from error
    _compare_with_name(Path(path).name, file.sha256)
    return Checkpoint(
        network=network.eval(),
        form=chosen,
        class_count=found_count or 1,
        input_channels=channels,
        normalization=normalization or stated or NORMALIZATIONS["inception"],
        normalization_source="argument" if normalization else "file" if stated else "default",
        labels=_labels(file, found_count or 1, where),
        auxiliary_heads=tuple(head[:-1] for head in _AUXILIARY if any(name.startswith(head) for name in file.tensors)),
        dtype=", ".join(
            sorted({str(t.dtype).removeprefix("torch.") for t in file.tensors.values() if t.is_floating_point()})
        ),
        path=Path(path),
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        metadata=file.metadata,
    )


def _stated_form(metadata: Mapping[str, str]) -> str | None:
    form = metadata.get("form")
    if form is not None and form not in (*FORMS, KERAS_FORM):
        known = ", ".join((*FORMS, KERAS_FORM))
        raise CheckpointError(
            f"form in the file's metadata: got {form!r}, expected one of {known}; ask for one of them"
        )
    return form


def _check_types(tensors: Mapping[str, Tensor]) -> None:
    """Refuse what is not plain floating-point weights."""
    remedy = "save the network in floating point; it is quantized on the way to the engine"
    for name, tensor in tensors.items():
        counter = name.endswith("num_batches_tracked")
        if tensor.is_quantized or (not tensor.is_floating_point() and not counter):
            kind = "a quantized" if tensor.is_quantized else "an integer or complex"
            raise CheckpointError(
                f"tensor {name!r}: got {kind} tensor ({tensor.dtype}), expected floating point; {remedy}"
            )
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise CheckpointError(
                f"tensor {name!r}: got layout {tensor.layout} on device {tensor.device.type!r}, expected plain values; "
                "save the network from the CPU, with dense weights"
            )


def _fitting(
    tensors: Mapping[str, Tensor], network: nn.Module, form: str, class_count: int | None
) -> dict[str, Tensor]:
    """Return the tensors that the network takes, or say which are missing, unexpected or of another shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    # Batch norm has counted its batches only since PyTorch 0.4.1, and in evaluation mode the count is not used.
    zeros = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith("num_batches_tracked")}
    given = zeros | dict(tensors)
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected and not name.startswith(_AUXILIARY)]
    wrong = [
        f"{name}: got {tuple(given[name].shape)}, expected {shape}"
        for name, shape in expected.items()
        if name in given and tuple(given[name].shape) != shape
    ]
    if not missing and not unexpected and not wrong:
        found_count = given["fc.weight"].shape[0]
        if class_count is not None and found_count != class_count:
            raise CheckpointError(
                f"got weights for {found_count} classes, expected {class_count}; check that they belong together"
            )
        return {name: given[name] for name in expected}
    problems = [
        f"{len(names)} {title} ({first_few(names)})"
        for names, title in ((missing, "missing"), (unexpected, "unexpected"), (wrong, "of another shape"))
        if names
    ]
    raise CheckpointError(
        f"got tensors that do not fit form {form!r}: {'; '.join(problems)}. {_advice(tensors, form, missing)}"
    )


def _advice(tensors: Mapping[str, Tensor], form: str, missing: list[str]) -> str:
    try:
        detected = detect_form({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    except CheckpointError as error:
        return str(error)
    if detected != form:
        return f"The weights are those of form {detected!r}: ask for that one, or for none"
    if missing and all(name.startswith(_AUXILIARY) for name in missing):
        return "The file has no complete auxiliary heads: load it without them"
    return (
        "Expected the whole state dict of the network: save it again with torch.save(model.state_dict(), 'weights.pth')"
    )


def _loaded(name: str, tensor: Tensor) -> Tensor:
    """Return the tensor in float32, in memory of its own, after a look at its values."""
    if name.endswith("num_batches_tracked"):  # which may have been cast to a float along with everything else
        return tensor.to(torch.int64, copy=True)
    values = tensor.to(torch.float32, copy=True).contiguous()
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise CheckpointError(
            f"tensor {name!r}: got {bad} of {values.numel()} values that are NaN or infinite in float32, "
            "expected finite weights; the training has diverged or the file is damaged, use an earlier one"
        )
    if name.endswith("running_var") and bool((values < 0).any()):
        raise CheckpointError(
            f"tensor {name!r}: got negative variances, expected 0 or more; the file is damaged, use another copy"
        )
    return values


def _labels(file: WeightsFile, class_count: int, where: str) -> tuple[str, ...] | None:
    """Return the labels in the file. Our own metadata must be right; what a training script left need not."""
    if "labels" in file.metadata:
        try:
            return labels_from(json.loads(file.metadata["labels"]), class_count, f"{where}, labels in its metadata")
        except (ValueError, RecursionError) as error:  # LabelsError too
            raise CheckpointError(str(error)) from error
    for entry in _LABEL_ENTRIES:
        if file.beside.get(entry):
            try:
                return labels_from(file.beside[entry], class_count, f"{where}, entry {entry!r}")
            except LabelsError as error:
                _log.warning("ignored: %s", error)
    return None


def _compare_with_name(name: str, sha256: str) -> None:
    """Warn where PyTorch's naming scheme (``googlenet-1378be20.pth``) promises another sha256."""
    match = re.fullmatch(r".*-([0-9a-f]{8,64})\.(pth|pt|safetensors)", name)
    if match and not sha256.startswith(match[1]):
        _log.warning(
            "%s: its sha256 begins with %s, not as its name says: changed or damaged", name, sha256[: len(match[1])]
        )

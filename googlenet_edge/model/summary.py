"""Table 1 as computed from a network: output size, parameters and multiply-accumulates of each row.

The figures come from the modules themselves, by hooks on one pass of a tensor without values, and not from the table
that the network was built from. One multiply-accumulate (MAC) is one multiplication and one addition; only convolutions
and linear layers are counted, as is usual for this network (1.50 GMAC at 224 x 224).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from googlenet_edge.errors import InputError
from googlenet_edge.model.checkpoint import build_network
from googlenet_edge.model.googlenet import ConvUnit, GoogLeNet, InceptionModule
from googlenet_edge.model.keras_inception import KerasInception
from googlenet_edge.model.table import FORMS, KERAS_FORM

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BranchWidths", "NetworkSummary", "RowSummary", "compare_forms", "summarize"]

MAX_INPUT_PX = 4096
"""Largest input size that :func:`summarize` takes."""


@dataclass(frozen=True)
class BranchWidths:
    """Output channels of the convolutions of an inception module, named as in Table 1."""

    conv1x1: int
    conv3x3_reduce: int
    conv3x3: int
    conv5x5_reduce: int
    conv5x5: int
    pool_proj: int


@dataclass(frozen=True)
class RowSummary:
    """One row of the table."""

    name: str
    operation: str
    """Kernel and stride as in Table 1, for example ``"conv 7x7/2"``; what the branches of an inception module hold."""
    input_shape: tuple[int, ...]
    """Without the batch: (channels, height, width), or (features,) behind the average pool."""
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    """For one frame."""
    widths: BranchWidths | None = None


@dataclass(frozen=True)
class NetworkSummary:
    """The rows of a network, without auxiliary heads, and their totals."""

    form: str
    input_px: int
    class_count: int
    rows: tuple[RowSummary, ...]

    @property
    def parameters(self) -> int:
        """Parameters of all rows; batch norm's running statistics are not parameters."""
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all rows for one frame."""
        return sum(row.macs for row in self.rows)


def summarize(network: nn.Module, input_px: int = 224) -> NetworkSummary:
    """Return what each row of the network does to an input of ``input_px`` x ``input_px``.

    The network, of any form, is left as it is: a copy without values computes the shapes. Raises :class:`InputError`
    for a size at which a row would have no output, or above 4096.
    """
    smallest = 4 if isinstance(network, KerasInception) else 32
    if not smallest <= input_px <= MAX_INPUT_PX:
        raise InputError(f"input size: got {input_px} pixels, expected {smallest} to {MAX_INPUT_PX} for this network")
    shadow = copy.deepcopy(network).to("meta").eval()
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    macs: dict[str, int] = {}

    def note_shapes(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            shapes[name] = tuple(inputs[0].shape[1:]), tuple(output.shape[1:])

        return hook

    def count_macs(row: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
            macs[row] = macs.get(row, 0) + math.prod(output.shape[1:]) * _macs_per_output(module)

        return hook

    for name, module in shadow.named_children():
        module.register_forward_hook(note_shapes(name))
        for layer in module.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.register_forward_hook(count_macs(name))
    channels = next(module.in_channels for module in shadow.modules() if isinstance(module, nn.Conv2d))
    with torch.inference_mode():
        shadow(torch.empty(1, channels, input_px, input_px, device="meta"))
    rows = tuple(
        RowSummary(
            name=name,
            operation=_operation(module),
            input_shape=shapes[name][0],
            output_shape=shapes[name][1],
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            macs=macs.get(name, 0),
            widths=_widths(module) if isinstance(module, InceptionModule) else None,
        )
        for name, module in shadow.named_children()
        if name in shapes  # auxiliary heads do not run in evaluation mode
    )
    form = network.form.name if isinstance(network, GoogLeNet) else KERAS_FORM
    return NetworkSummary(form, input_px, rows[-1].output_shape[0], rows)


def compare_forms(class_count: int = 1000, input_px: int = 224) -> tuple[NetworkSummary, ...]:
    """Return the summary of every form at this number of classes and input size, ``torchvision`` first."""
    with torch.device("meta"):
        networks = [build_network(form, class_count) for form in (*FORMS, KERAS_FORM)]
    return tuple(summarize(network, input_px) for network in networks)


def _macs_per_output(module: nn.Module) -> int:
    """Return the multiply-accumulates for one element of the layer's output."""
    if isinstance(module, nn.Conv2d):
        return module.in_channels // module.groups * math.prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return module.in_features
    return 0


def _operation(module: nn.Module) -> str:
    match module:
        case ConvUnit():
            return _operation(module.conv)
        case nn.Conv2d():
            return f"conv {_size(module.kernel_size)}{_stride(module.stride)}"
        case nn.MaxPool2d() | nn.AvgPool2d():
            kind = "max pool" if isinstance(module, nn.MaxPool2d) else "average pool"
            return f"{kind} {_size(module.kernel_size)}{_stride(module.stride)}"
        case InceptionModule():
            return f"inception {_kernels(module.branch2)}, {_kernels(module.branch3)}"
        case nn.Sequential():
            return ", ".join(text for layer in module if (text := _operation(layer)))
        case nn.AdaptiveAvgPool2d():
            return "global average pool"
        case nn.LocalResponseNorm():
            return f"local response norm {module.size}"
        case nn.BatchNorm2d():
            return "batch norm"
        case nn.Dropout():
            return f"dropout {module.p:g}"
        case nn.Linear():
            return "linear"
    return ""


def _kernels(branch: nn.Sequential) -> str:
    """Return the kernels that follow the reduction of a branch."""
    convolutions = [layer for layer in branch.modules() if isinstance(layer, nn.Conv2d)]
    return " + ".join(_size(convolution.kernel_size) for convolution in convolutions[1:])


def _size(kernel: int | tuple[int, ...]) -> str:
    return f"{kernel}x{kernel}" if isinstance(kernel, int) else "x".join(str(length) for length in kernel)


def _stride(stride: int | tuple[int, ...]) -> str:
    return f"/{stride if isinstance(stride, int) else stride[0]}"


def _widths(module: InceptionModule) -> BranchWidths:
    def channels(unit: nn.Module) -> int:
        return next(layer.out_channels for layer in unit.modules() if isinstance(layer, nn.Conv2d))

    return BranchWidths(
        conv1x1=channels(module.branch1),
        conv3x3_reduce=channels(module.branch2[0]),
        conv3x3=channels(module.branch2[-1]),
        conv5x5_reduce=channels(module.branch3[0]),
        conv5x5=channels(module.branch3[-1]),
        pool_proj=channels(module.branch4[1]),
    )

"""GoogLeNet in PyTorch, built row by row from :mod:`googlenet_edge.model.table`.

Module and parameter names are those of torchvision's ``googlenet``, so its checkpoints and every fine-tuned descendant
load. The input is float32 (N, 3, H, W), RGB, already normalised; the deployable graph does that itself
(``graph/head.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from googlenet_edge.model.table import TABLE, Conv, Form, Inception, Kernel, Linear, Lrn, Pool, Row, split_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AuxiliaryHead", "ConvUnit", "GoogLeNet", "InceptionModule"]


class ConvUnit(nn.Module):
    """Convolution, batch norm where the form has it, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Kernel, form: Form, stride: int = 1) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=not form.batch_norm)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001) if form.batch_norm else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H / stride, W / stride)."""
        y: Tensor = self.relu(self.bn(self.conv(x)))
        return y


class InceptionModule(nn.Module):
    """Four branches side by side, concatenated along the channels: (N, in, H, W) -> (N, row.out_channels, H, W)."""

    def __init__(self, in_channels: int, row: Inception, form: Form) -> None:
        super().__init__()
        self.branch1 = ConvUnit(in_channels, row.conv1x1, (1, 1), form)
        self.branch2 = self._branch(
            in_channels, row.conv3x3_reduce, row.conv3x3, split_kernel(3, form, third_branch=False), form
        )
        self.branch3 = self._branch(
            in_channels, row.conv5x5_reduce, row.conv5x5, split_kernel(5, form, third_branch=True), form
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            ConvUnit(in_channels, row.pool_proj, (1, 1), form),
        )

    @staticmethod
    def _branch(
        in_channels: int, reduce: int, out_channels: int, kernels: tuple[Kernel, ...], form: Form
    ) -> nn.Sequential:
        """A 1x1 reduction, then each kernel in turn."""
        units = [ConvUnit(in_channels, reduce, (1, 1), form)]
        for kernel in kernels:
            units.append(ConvUnit(units[-1].conv.out_channels, out_channels, kernel, form))
        return nn.Sequential(*units)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, row.out_channels, H, W)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class AuxiliaryHead(nn.Module):
    """The paper's auxiliary classifier, for training only: (N, in, H, W) -> (N, classes)."""

    def __init__(self, in_channels: int, class_count: int, form: Form) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvUnit(in_channels, 128, (1, 1), form)
        self.fc1 = nn.Linear(2048, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, class_count)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> logits (N, classes)."""
        x = self.conv(self.pool(x)).flatten(1)  # (N, 2048)
        y: Tensor = self.fc2(self.dropout(torch.relu(self.fc1(x))))
        return y


class GoogLeNet(nn.Module):
    """The network of Table 1: float32 (N, channels, H, W) -> logits (N, classes); 224 x 224 as published.

    With ``auxiliary=True`` and in training mode, ``forward`` returns ``(logits, aux1, aux2)``.
    """

    def __init__(self, form: Form, class_count: int = 1000, *, channels: int = 3, auxiliary: bool = False) -> None:
        super().__init__()
        self.form = form
        self.class_count = class_count
        self.auxiliary = auxiliary
        for row in TABLE:
            match row:
                case Conv():
                    kernel = (row.kernel, row.kernel)
                    self.add_module(row.name, ConvUnit(channels, row.out_channels, kernel, form, row.stride))
                    channels = row.out_channels
                case Pool():
                    size = form.maxpool4_kernel if row.name == "maxpool4" else row.kernel
                    self.add_module(row.name, nn.MaxPool2d(size, row.stride, ceil_mode=True))
                case Lrn():
                    if form.lrn:
                        self.add_module(row.name, nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0))
                case Inception():
                    self.add_module(row.name, InceptionModule(channels, row, form))
                    channels = row.out_channels
                    if auxiliary and row.auxiliary:
                        self.add_module(row.auxiliary, AuxiliaryHead(channels, class_count, form))
                case Linear():
                    self.avgpool = nn.AdaptiveAvgPool2d(1)
                    self.dropout = nn.Dropout(row.dropout)
                    self.add_module(row.name, nn.Linear(channels, class_count))
        self._initialise()

    def _initialise(self) -> None:
        """He initialisation (arXiv:1502.01852), so that a fresh network of any form can be trained or checked."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # there are no values, and it would be slow
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def rows(self) -> Iterator[tuple[Row, nn.Module]]:
        """The rows of the table that this form has, in order, each with the module that computes it."""
        for row in TABLE:
            module = getattr(self, row.name, None)
            if module is not None:
                yield row, module

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """(N, channels, H, W) -> logits (N, classes), or three of them while training with auxiliary heads."""
        # at 224:                                               (N, 3, 224, 224)
        # conv1 -> 112, maxpool1 -> 56, conv3 -> (N, 192, 56, 56), maxpool2 -> 28
        # inception3b -> (N, 480, 28, 28), maxpool3 -> 14, inception4e -> (N, 832, 14, 14)
        # maxpool4 -> 7, inception5b -> (N, 1024, 7, 7)
        auxiliary = []
        for row, module in self.rows():
            if isinstance(row, Linear):
                x = self.dropout(self.avgpool(x).flatten(1))  # (N, 1024)
            x = module(x)
            if isinstance(row, Inception) and row.auxiliary and self.auxiliary and self.training:
                auxiliary.append(getattr(self, row.auxiliary)(x))
        if auxiliary:
            return x, auxiliary[0], auxiliary[1]
        return x  # (N, classes)

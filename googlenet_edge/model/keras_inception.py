"""A small inception network, often shown in Keras to explain the idea: two modules, batch norm, a dense layer.

Built here in PyTorch with the same shapes layer by layer, so that it can be exported, quantized and deployed like
GoogLeNet. The input is float32 (N, channels, H, W), RGB, already normalised. Where Keras pads "same" at stride 1, this
pads by one pixel; a Keras 1x1 convolution of stride 2 takes the even rows and columns, as PyTorch's does; Keras' batch
norm has eps 0.001.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["KerasInception"]


def _conv_relu(in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2), nn.ReLU())


class KerasInception(nn.Module):
    """float32 (N, channels, size, size) -> logits (N, classes); the softmax is the deployable graph's tail."""

    def __init__(self, class_count: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.class_count = class_count
        self.a = nn.Sequential(_conv_relu(channels, 24), nn.AvgPool2d(1, stride=2))
        self.b = _conv_relu(channels, 16, stride=2)
        self.c = nn.Sequential(_conv_relu(channels, 16, stride=2), _conv_relu(16, 24, 3))
        self.d = nn.Sequential(_conv_relu(channels, 16, stride=2), _conv_relu(16, 24, 3), _conv_relu(24, 24, 3))
        self.e = nn.Sequential(_conv_relu(88, 16, stride=2), _conv_relu(16, 16, 3))
        self.f = _conv_relu(88, 16, stride=2)
        self.bn = nn.BatchNorm2d(32, eps=0.001)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32, class_count)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, size, size) -> logits (N, classes)."""
        x = torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], dim=1)  # (N, 88, size/2, size/2)
        x = torch.cat([self.e(x), self.f(x)], dim=1)  # (N, 32, size/4, size/4)
        y: Tensor = self.fc(self.avgpool(self.bn(x)).flatten(1))  # (N, classes)
        return y

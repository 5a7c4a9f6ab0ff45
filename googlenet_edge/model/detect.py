"""Which form of the network a state dict is for, told from its names and shapes, and what it is if it is for none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from googlenet_edge.errors import CheckpointError
from googlenet_edge.model.table import FORMS, KERAS_FORM, Form, Kernel, split_kernel

__all__ = ["Shapes", "class_count_of", "detect_form", "first_few", "input_channels_of", "shown"]

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""The shape of each tensor of a state dict, by name."""

# The first pattern that some name matches in full tells the architecture.
_ARCHITECTURES = tuple(
    (re.compile(pattern), description)
    for pattern, description in (
        (r"(Mixed_5b|Conv2d_1a_3x3)\..*", "an Inception-v3 (torchvision's or timm's names)"),
        (
            r"(mixed_5b|block35|repeat_1|features\.\d+\.branch\d)[._].*",
            "an Inception-v4 or Inception-ResNet (timm's names)",
        ),
        (
            r"inception_?3a[_/](1x1|3x3_reduce).*",
            "a GoogLeNet with Caffe's names (inception_3a_1x1); rename them to torchvision's",
        ),
        (
            r"(pre_layers\.0|a3\.b1\.0)\..*",
            "a GoogLeNet for 32 x 32 images with other layers (pre_layers, a3, b3, ...)",
        ),
        (r"features\.denseblock\d.*|features\.conv0\.weight", "a DenseNet"),
        (r"features\.\d+\.squeeze\.weight", "a SqueezeNet"),
        (r"features\.\d+\.0\.block\..*", "an EfficientNet (torchvision's names)"),
        (r"(conv_stem|blocks\.\d+\.\d+\.conv_pw)\..*", "an EfficientNet or MobileNet (timm's names)"),
        (r"features\.\d+\.(conv|block)\..*", "a MobileNet (torchvision's names)"),
        (r"(features|stages?)\.\d+\.\d+\.(block|layer_scale|blocks)\b.*|stages\.\d+\.blocks.*", "a ConvNeXt"),
        (
            r"(encoder\.layers\.encoder_layer_0|blocks\.0\.attn|vit\.encoder|cls_token|class_token).*",
            "a vision transformer",
        ),
        (r"(layers|features)\.\d+\.(blocks\.)?\d+\.attn\..*", "a Swin transformer"),
        (r"layer[1-4]\.\d+\.(conv|bn)\d.*", "a ResNet"),
        (r"classifier\.6\.weight", "a VGG or an AlexNet"),
        (r"(model\.)?(0|1)\.conv\.weight", "a YOLO network"),
        (r"(trunk_output|s1\.b1)\..*", "a RegNet"),
        (r"(text_model|vision_model|transformer)\..*", "a transformer"),
    )
)


def detect_form(shapes: Shapes) -> str:
    """Return the name of the form that these tensors are for. Raises :class:`CheckpointError` if they are for none."""
    if "a.0.0.weight" in shapes and "e.0.0.weight" in shapes:
        return KERAS_FORM
    if "conv1.conv.weight" in shapes and any(name.startswith("inception3a.branch") for name in shapes):
        batch_norm = any(".bn." in name for name in shapes)
        seconds, thirds = (_kernels(shapes, f"inception3a.branch{branch}") for branch in (2, 3))
        for form in FORMS.values():
            if (form.batch_norm, *_branches(form)) == (batch_norm, seconds, thirds):
                return form.name
        raise CheckpointError(
            f"got a GoogLeNet {'with' if batch_norm else 'without'} batch norm, with {_written(seconds)} in the second "
            f"branch and {_written(thirds)} in the third; expected one of: "
            + "; ".join(
                f"{form.name} ({'batch norm' if form.batch_norm else 'biases'}, {_written(second)}, {_written(third)})"
                for form in FORMS.values()
                for second, third in [_branches(form)]
            )
        )
    raise CheckpointError(
        f"got {_architecture(shapes)}, with {len(shapes)} tensors ({first_few(list(shapes))}); expected a GoogLeNet "
        f"with torchvision's names (conv1.conv.weight, inception3a.branch1.conv.weight, ..., fc.weight) or {KERAS_FORM}"
    )


def class_count_of(shapes: Shapes) -> int | None:
    """Return the number of classes, which is that of the rows of ``fc.weight``; None where there is no such matrix."""
    shape = shapes.get("fc.weight", ())
    return shape[0] if len(shape) == 2 and shape[0] > 0 else None


def input_channels_of(shapes: Shapes) -> int:
    """Return the number of input channels of the first convolution; 3 where it cannot be told."""
    shape = shapes.get("conv1.conv.weight", shapes.get("a.0.0.weight", ()))
    return shape[1] if len(shape) == 4 and shape[1] > 0 else 3


def first_few(items: Sequence[str], count: int = 4) -> str:
    """Return the first items as a list in words: ``a, b, c, d and 12 more``."""
    rest = len(items) - count
    return ", ".join(shown(item) for item in items[:count]) + (f" and {rest} more" if rest > 0 else "")


def shown(name: str, length: int = 100) -> str:
    """Return a name from a file as it can be put on a terminal: no control characters, not too long."""
    name = name if len(name) <= length else name[:length] + "..."
    return name if name.isprintable() else repr(name)


def _branches(form: Form) -> tuple[tuple[Kernel, ...], tuple[Kernel, ...]]:
    return split_kernel(3, form, third_branch=False), split_kernel(5, form, third_branch=True)


def _kernels(shapes: Shapes, branch: str) -> tuple[Kernel, ...]:
    """Return the kernel sizes that follow the 1x1 reduction of a branch."""
    found: list[Kernel] = []
    while len(shape := shapes.get(f"{branch}.{len(found) + 1}.conv.weight", ())) == 4:
        found.append((shape[2], shape[3]))
    return tuple(found)


def _written(kernels: tuple[Kernel, ...]) -> str:
    return " then ".join(f"{height}x{width}" for height, width in kernels) or "nothing"


def _architecture(shapes: Shapes) -> str:
    for pattern, description in _ARCHITECTURES:
        if any(pattern.fullmatch(name) for name in shapes):
            return f"what looks like {description}"
    return "another network"

"""Other architectures are recognised by their names, so that the error can say what was given."""

from __future__ import annotations

import pytest
import torch

from googlenet_edge.errors import CheckpointError
from googlenet_edge.model.checkpoint import build_network
from googlenet_edge.model.detect import detect_form, first_few
from googlenet_edge.model.table import FORMS


@pytest.mark.parametrize(
    ("names", "architecture"),
    [
        (("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "fc.weight"), "a ResNet"),
        (("Conv2d_1a_3x3.conv.weight", "Mixed_5b.branch1x1.conv.weight", "fc.weight"), "an Inception-v3"),
        (("conv2d_1a.conv.weight", "mixed_5b.branch0.conv.weight"), "an Inception-v4 or Inception-ResNet"),
        (
            ("conv1_7x7_s2.weight", "inception_3a_1x1.weight", "loss3_classifier.weight"),
            "a GoogLeNet with Caffe's names",
        ),
        (("pre_layers.0.weight", "a3.b1.0.weight", "linear.weight"), "a GoogLeNet for 32 x 32 images"),
        (("features.0.weight", "classifier.6.weight"), "a VGG or an AlexNet"),
        (("features.conv0.weight", "features.denseblock1.denselayer1.conv1.weight", "classifier.weight"), "a DenseNet"),
        (("features.0.weight", "features.3.squeeze.weight", "classifier.1.weight"), "a SqueezeNet"),
        (("features.0.0.weight", "features.1.conv.0.0.weight", "classifier.1.weight"), "a MobileNet"),
        (("features.0.0.weight", "features.1.block.0.0.weight", "classifier.0.weight"), "a MobileNet"),
        (("features.0.0.weight", "features.1.0.block.0.0.weight", "classifier.1.weight"), "an EfficientNet"),
        (("conv_stem.weight", "blocks.0.0.conv_dw.weight", "classifier.weight"), "an EfficientNet or MobileNet (timm"),
        (("stem.0.weight", "stages.0.blocks.0.conv_dw.weight", "head.fc.weight"), "a ConvNeXt"),
        (("class_token", "conv_proj.weight", "encoder.layers.encoder_layer_0.ln_1.weight"), "a vision transformer"),
        (("cls_token", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"), "a vision transformer"),
        (("0.conv.weight", "1.conv.weight", "24.m.0.weight"), "a YOLO network"),
        (("encoder.weight",), "another network"),
    ],
)
def test_other_architectures(names: tuple[str, ...], architecture: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        detect_form(dict.fromkeys(names, (1,)))
    message = str(caught.value)
    assert architecture in message
    assert names[0] in message
    assert "expected a GoogLeNet with torchvision's names" in message


def test_a_form_of_googlenet_that_is_none_of_ours() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in build_network("torchvision").state_dict().items()}
    shapes = {name: (*shape[:2], 5, 5) if ".branch3.1.conv" in name else shape for name, shape in shapes.items()}
    with pytest.raises(CheckpointError) as caught:
        detect_form(shapes)
    message = str(caught.value)
    assert "got a GoogLeNet with batch norm, with 3x3 in the second branch and 5x5 in the third" in message
    assert "paper (biases, 3x3, 5x5)" in message
    assert all(form in message for form in FORMS)


def test_first_few() -> None:
    assert first_few(["a", "b"]) == "a, b"
    assert first_few([str(number) for number in range(10)], 3) == "0, 1, 2 and 7 more"
    assert first_few(["x" * 500, "\x1b[0m"]) == f"{'x' * 100}..., '\\x1b[0m'"

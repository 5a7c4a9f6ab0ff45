"""The small Keras network: its shapes layer by layer, and its results against plain numpy with Keras' rules."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from googlenet_edge.model.keras_inception import KerasInception

Array = npt.NDArray[np.float64]


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (224, 3), (33, 1), (30, 4)])
def test_the_shapes_layer_by_layer(size: int, channels: int) -> None:
    network = KerasInception(class_count=6, channels=channels).eval()
    shapes = {}
    for name, module in network.named_children():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: shapes.update({name: (inputs[0].shape[1:], output.shape[1:])})
        )
    with torch.inference_mode():
        logits = network(torch.rand(1, channels, size, size))
    half = (size + 1) // 2  # Keras rounds up with either padding, as the kernels of stride 2 are 1 x 1
    quarter = (half + 1) // 2
    image = (channels, size, size)
    assert shapes == {
        "a": (image, (24, half, half)),
        "b": (image, (16, half, half)),
        "c": (image, (24, half, half)),
        "d": (image, (24, half, half)),
        "e": ((88, half, half), (16, quarter, quarter)),
        "f": ((88, half, half), (16, quarter, quarter)),
        "bn": ((32, quarter, quarter), (32, quarter, quarter)),
        "avgpool": ((32, quarter, quarter), (32, 1, 1)),
        "fc": ((32,), (6,)),
    }
    assert logits.shape == (1, 6)


def conv_relu(weights: dict[str, Array], name: str, x: Array, stride: int = 1) -> Array:
    """Keras' Conv2D, padding "same", then relu; x is (H, W, C) as in Keras."""
    kernel = weights[f"{name}.weight"].transpose(2, 3, 1, 0)  # to Keras' (height, width, in, out)
    size = kernel.shape[0]
    padded = np.pad(x, ((size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    height, width = x.shape[:2]
    rows: Array = sum(padded[i : i + height, j : j + width] @ kernel[i, j] for i in range(size) for j in range(size))
    result: Array = np.maximum(rows[::stride, ::stride] + weights[f"{name}.bias"], 0)
    return result


def keras(weights: dict[str, Array], x: Array) -> Array:
    a = conv_relu(weights, "a.0.0", x)[::2, ::2]  # an average over one pixel, every second
    b = conv_relu(weights, "b.0", x, 2)
    c = conv_relu(weights, "c.1.0", conv_relu(weights, "c.0.0", x, 2))
    d = conv_relu(weights, "d.2.0", conv_relu(weights, "d.1.0", conv_relu(weights, "d.0.0", x, 2)))
    x = np.concatenate([a, b, c, d], axis=-1)
    e = conv_relu(weights, "e.1.0", conv_relu(weights, "e.0.0", x, 2))
    x = np.concatenate([e, conv_relu(weights, "f.0", x, 2)], axis=-1)
    x = (x - weights["bn.running_mean"]) / np.sqrt(weights["bn.running_var"] + 0.001)
    x = x * weights["bn.weight"] + weights["bn.bias"]
    result: Array = weights["fc.weight"] @ x.mean(axis=(0, 1)) + weights["fc.bias"]
    return result


@pytest.mark.parametrize("size", [16, 19])
def test_the_results_are_those_of_kerass_rules(size: int) -> None:
    torch.manual_seed(0)
    network = KerasInception(class_count=6).eval()
    statistics = dict(network.bn.named_buffers())
    statistics["running_mean"].uniform_(-1, 1)
    statistics["running_var"].uniform_(1e-3, 2e-3)  # small, so that the 0.001 counts
    image = np.random.default_rng(0).random((size, size, 3))
    weights = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        got = network(torch.from_numpy(image.transpose(2, 0, 1)[None]).float())[0].numpy()
    np.testing.assert_allclose(got, keras(weights, image), rtol=1e-4, atol=1e-5)

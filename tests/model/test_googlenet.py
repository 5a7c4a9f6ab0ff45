"""GoogLeNet against torchvision's logits, and against its own definition written out with functions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from googlenet_edge.model.googlenet import GoogLeNet
from googlenet_edge.model.normalization import NORMALIZATIONS
from googlenet_edge.model.table import FORMS

FloatArray = npt.NDArray[np.float32]


def relative_error(got: FloatArray, expected: FloatArray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def network(torchvision_state: dict[str, Tensor]) -> GoogLeNet:
    network = GoogLeNet(FORMS["torchvision"], auxiliary=True)
    network.load_state_dict(torchvision_state)
    return network.eval()


def logits(network: torch.nn.Module, images: FloatArray) -> FloatArray:
    with torch.inference_mode():
        result: FloatArray = network(torch.from_numpy(images)).numpy()
    return result


def test_the_names_and_shapes_are_torchvisions(torchvision_names: dict[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        state = GoogLeNet(FORMS["torchvision"], auxiliary=True).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == torchvision_names


def test_the_logits_are_torchvisions(network: GoogLeNet, golden: dict[str, FloatArray]) -> None:
    assert relative_error(logits(network, golden["input"]), golden["plain"]) < 1e-5


def test_our_normalization_stands_for_transform_input(network: GoogLeNet, golden: dict[str, FloatArray]) -> None:
    # torchvision was given images that are already normalised with ImageNet's figures. So undo that, to have pixels,
    # and let our normalization alone do what torchvision's transforms and transform_input=True do in two steps.
    def column(values: tuple[float, ...]) -> npt.NDArray[np.float64]:
        return np.array(values).reshape(3, 1, 1)

    imagenet, ours = NORMALIZATIONS["imagenet"], NORMALIZATIONS["inception"]
    pixels = golden["input"] * column(imagenet.std) + column(imagenet.mean)
    normalised = ((pixels - column(ours.mean)) / column(ours.std)).astype(np.float32)
    assert relative_error(logits(network, normalised), golden["transform_input"]) < 1e-5
    assert relative_error(golden["plain"], golden["transform_input"]) > 1e-2  # the test can fail


@pytest.mark.parametrize(
    ("form", "parameters"),
    [("torchvision", 6_624_904), ("paper", 6_998_552), ("factorized", 7_292_264), ("factorized-asymmetric", 6_854_280)],
)
def test_parameter_counts(form: str, parameters: int) -> None:
    with torch.device("meta"):
        network = GoogLeNet(FORMS[form])
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def written_out(state: dict[str, Tensor], x: Tensor, *, lrn: bool, maxpool4: int) -> Tensor:
    """GoogLeNet without modules: what each name of the state dict is for, in order."""

    def unit(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        x = F.conv2d(x, weight, state.get(f"{name}.conv.bias"), stride, padding)
        if f"{name}.bn.weight" in state:
            mean, var = state[f"{name}.bn.running_mean"], state[f"{name}.bn.running_var"]
            x = F.batch_norm(x, mean, var, state[f"{name}.bn.weight"], state[f"{name}.bn.bias"], eps=1e-3)
        return x.clamp(min=0)

    def chain(name: str, x: Tensor) -> Tensor:
        index = 0
        while f"{name}.{index}.conv.weight" in state:
            x = unit(f"{name}.{index}", x)
            index += 1
        return x

    def normalised(x: Tensor) -> Tensor:
        """Each value by (1 + 1e-4 / 5 times the sum of squares over 5 neighbouring channels) to the power of 0.75."""
        squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
        sums = sum(squares[:, offset : offset + x.shape[1]] for offset in range(5))
        return x / (1 + 1e-4 / 5 * sums) ** 0.75 if lrn else x

    def pooled(x: Tensor, kernel: int = 3) -> Tensor:
        return F.max_pool2d(x, kernel, 2, ceil_mode=True)

    x = normalised(pooled(unit("conv1", x, stride=2)))
    x = pooled(normalised(unit("conv3", unit("conv2", x))))
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        if module == "4a":
            x = pooled(x)
        if module == "5a":
            x = pooled(x, maxpool4)
        name = f"inception{module}"
        pool = unit(f"{name}.branch4.1", F.max_pool2d(x, 3, 1, 1))
        x = torch.cat(
            [unit(f"{name}.branch1", x), chain(f"{name}.branch2", x), chain(f"{name}.branch3", x), pool], dim=1
        )
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("form", list(FORMS))
def test_each_form_computes_its_definition(form: str) -> None:
    torch.manual_seed(0)
    network = GoogLeNet(FORMS[form], class_count=7).eval()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data.uniform_(0.1, 1.0)
    images = torch.rand(2, 3, 67, 67) * 20  # odd, so that the rounding of the pools counts; large, so that the LRN does
    with torch.inference_mode():
        expected = written_out(
            dict(network.state_dict()), images, lrn=form == "paper", maxpool4=2 if form == "torchvision" else 3
        )
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)


def test_the_forms_without_batch_norm_have_biases() -> None:
    with torch.device("meta"):
        names = set(GoogLeNet(FORMS["paper"]).state_dict())
    assert not any(".bn." in name for name in names)
    assert {name.removesuffix("weight") for name in names if name.endswith("weight")} == {
        name.removesuffix("bias") for name in names if name.endswith("bias")
    }


def test_auxiliary_heads_train_and_do_not_answer_otherwise() -> None:
    network = GoogLeNet(FORMS["torchvision"], class_count=4, auxiliary=True)
    images = torch.rand(2, 3, 64, 64)
    outputs = network(images)
    assert [tuple(output.shape) for output in outputs] == [(2, 4)] * 3
    (outputs[1] + outputs[2]).sum().backward()  # reaches 4d, which both heads stand behind, and not 4e or fc
    assert network.get_parameter("inception4d.branch1.conv.weight").grad is not None
    assert network.get_parameter("inception4e.branch1.conv.weight").grad is None
    with torch.inference_mode():
        assert network.eval()(images).shape == (2, 4)


def test_a_network_without_auxiliary_heads_gives_one_output_while_training() -> None:
    assert GoogLeNet(FORMS["torchvision"], class_count=4)(torch.rand(2, 3, 64, 64)).shape == (2, 4)


def test_a_network_for_grey_images() -> None:
    with torch.inference_mode():
        assert GoogLeNet(FORMS["torchvision"], 4, channels=1).eval()(torch.rand(1, 1, 64, 64)).shape == (1, 4)

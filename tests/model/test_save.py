"""Writing checkpoints: what goes in comes out again, to the precision that was asked for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from googlenet_edge.errors import CheckpointError, InputError, OutputError
from googlenet_edge.model.checkpoint import build_network, load_checkpoint, save_checkpoint
from googlenet_edge.model.normalization import NORMALIZATIONS
from googlenet_edge.model.table import FORMS, KERAS_FORM

CAFFE = NORMALIZATIONS["caffe"]


def small(class_count: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(KERAS_FORM, class_count)


@pytest.mark.parametrize(
    ("form", "dtype"),
    [
        *((form, torch.float16) for form in (*FORMS, KERAS_FORM)),
        *((KERAS_FORM, dtype) for dtype in (torch.bfloat16, torch.float32)),
    ],
)
def test_round_trip(form: str, dtype: torch.dtype, tmp_path: Path) -> None:
    network = build_network(form, 3, auxiliary=True)
    path = tmp_path / "weights.safetensors"
    labels = ["stop", "Überholverbot", "限速"]
    save_checkpoint(network, path, form=form, labels=labels, normalization=CAFFE, dtype=dtype, metadata={"epoch": "3"})
    checkpoint = load_checkpoint(path)
    assert (checkpoint.form, checkpoint.labels, checkpoint.normalization) == (form, tuple(labels), CAFFE)
    assert checkpoint.metadata["epoch"] == "3"
    assert checkpoint.auxiliary_heads == ()
    stated = set(checkpoint.dtype.split(", "))
    assert stated == {"float32", str(dtype).removeprefix("torch.")}
    expected = network.state_dict()
    for name, tensor in checkpoint.network.state_dict().items():
        cast = tensor.ndim >= 2 and dtype != torch.float32
        assert torch.equal(tensor, expected[name].to(dtype).float() if cast else expected[name]), name
    assert [child.name for child in tmp_path.iterdir()] == ["weights.safetensors"]


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    contents = set()
    for number in range(4):
        path = tmp_path / f"{number}.safetensors"
        metadata = {key: key for key in "abcdefgh"}
        save_checkpoint(small(), path, form=KERAS_FORM, labels=None, normalization=CAFFE, metadata=metadata)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    assert load_checkpoint(path).labels is None


def test_what_half_precision_cannot_hold_stays_float32(tmp_path: Path) -> None:
    network = small()
    state = network.state_dict()
    state["bn.running_var"].fill_(1e-9)  # 0 in half precision
    state["bn.running_mean"].fill_(1e6)  # infinite in half precision
    state["fc.weight"][0] = 1e-7  # one channel of which half precision keeps a bit or two
    state["f.0.weight"][0] = 1e5  # above half precision's largest number
    path = tmp_path / "weights.safetensors"
    save_checkpoint(network, path, form=KERAS_FORM, labels=None, normalization=CAFFE)
    with safe_open(path, framework="pt") as file:
        low = {name for name in file.keys() if file.get_tensor(name).dtype == torch.float16}  # noqa: SIM118
    assert {"fc.weight", "f.0.weight"}.isdisjoint(low)
    assert "b.0.weight" in low
    loaded = load_checkpoint(path).network.state_dict()
    for name in ("bn.running_var", "bn.running_mean", "fc.weight", "f.0.weight"):
        assert torch.equal(loaded[name], state[name]), name


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    def save(name: str = "a.safetensors", **changes: object) -> None:
        arguments: dict[str, object] = {"form": KERAS_FORM, "labels": None, "normalization": CAFFE, **changes}
        save_checkpoint(small(), tmp_path / name, **arguments)  # type: ignore[arg-type]

    with pytest.raises(InputError, match=r"got 'a.pth', expected a name that ends in .safetensors"):
        save("a.pth")
    with pytest.raises(InputError, match="got 2, expected 3, one for each class"):
        save(labels=["a", "b"])
    with pytest.raises(InputError, match=r"got torch.int8, expected torch.float16"):
        save(dtype=torch.int8)
    with pytest.raises(InputError, match="metadata: got form, labels, which are"):
        save(metadata={"labels": "x", "form": "y", "z": ""})
    with pytest.raises(OutputError, match="No such file or directory"):
        save("none/a.safetensors")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_leave_the_old_file(tmp_path: Path) -> None:
    network, path = small(), tmp_path / "weights.safetensors"
    save_checkpoint(network, path, form=KERAS_FORM, labels=None, normalization=CAFFE)
    before = path.read_bytes()
    network.get_parameter("fc.bias").data[0] = math.nan
    with pytest.raises(CheckpointError, match=r"tensor 'fc.bias': got NaN or infinite values"):
        save_checkpoint(network, path, form=KERAS_FORM, labels=None, normalization=CAFFE)
    assert path.read_bytes() == before

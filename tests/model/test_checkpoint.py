"""Loading checkpoints of every form and in every wrapping, and refusing what does not fit."""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from googlenet_edge.errors import CheckpointError, UsageError
from googlenet_edge.model.checkpoint import build_network, load_checkpoint
from googlenet_edge.model.normalization import NORMALIZATIONS
from googlenet_edge.model.table import FORMS
from googlenet_edge.types import Normalization

State = dict[str, Tensor]
Save = Callable[..., Path]


# What training scripts keep beside the state dict.
BESIDE: dict[str, dict[str, object]] = {
    "nothing": {},
    "optimizer": {"optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}},
    "numbers": {"epoch": 3, "loss": torch.tensor(0.5), "best": np.float64(0.75), "arch": "googlenet"},
    "arguments": {"args": argparse.Namespace(lr=0.1), "out": Path("runs") / "1"},
}


def assert_same(network: torch.nn.Module, state: State) -> None:
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in loaded)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def test_torchvisions_checkpoint_with_auxiliary_heads(torchvision_state: State, save: Save) -> None:
    path = save(collections.OrderedDict(torchvision_state))
    checkpoint = load_checkpoint(path)
    assert (checkpoint.form, checkpoint.class_count, checkpoint.input_channels) == ("torchvision", 1000, 3)
    assert checkpoint.auxiliary_heads == ("aux1", "aux2")
    assert checkpoint.labels is None
    assert (checkpoint.normalization, checkpoint.normalization_source) == (NORMALIZATIONS["inception"], "default")
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.size_bytes == path.stat().st_size
    assert checkpoint.dtype == "float32"
    assert not checkpoint.network.training
    assert not any(name.startswith("aux") for name, _ in checkpoint.network.named_parameters())
    assert_same(checkpoint.network, torchvision_state)

    with_heads = load_checkpoint(path, auxiliary=True).network
    assert_same(with_heads, torchvision_state)
    assert len(with_heads.state_dict()) == len(torchvision_state)


def test_part_of_an_auxiliary_head_does_no_harm_unless_it_is_asked_for(torchvision_state: State, save: Save) -> None:
    path = save(
        {name: tensor for name, tensor in torchvision_state.items() if not name.startswith(("aux1.fc", "aux2"))}
    )
    assert load_checkpoint(path).auxiliary_heads == ("aux1",)
    with pytest.raises(
        CheckpointError, match=r"missing \(aux1.fc1.weight.*no complete auxiliary heads: load it without"
    ):
        load_checkpoint(path, auxiliary=True)


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_form_is_told_from_its_weights(form: str, suffix: str, tmp_path: Path) -> None:
    state = build_network(form, 3).state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    checkpoint = load_checkpoint(path)
    assert (checkpoint.form, checkpoint.class_count) == (form, 3)
    assert_same(checkpoint.network, state)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prefixes=st.lists(st.sampled_from(["module.", "_orig_mod.", "model.", "net.", "backbone."]), max_size=3),
    entries=st.lists(
        st.sampled_from(["state_dict", "model", "model_state_dict", "net", "something"]), max_size=2, unique=True
    ),
    extra=st.sampled_from(list(BESIDE)),
    legacy=st.booleans(),
)
def test_every_wrapping(
    *, prefixes: list[str], entries: list[str], extra: str, legacy: bool, small_state: State, tmp_path: Path
) -> None:
    beside: dict[str, object] = dict(BESIDE[extra])
    content: dict[str, object] = dict(prefixed(small_state, "".join(prefixes)))
    for entry in entries:
        content = {**beside, entry: content}
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    checkpoint = load_checkpoint(path)
    assert (checkpoint.form, checkpoint.class_count) == ("keras-inception", 5)
    assert_same(checkpoint.network, small_state)


def test_compiled_submodules_averaged_models_and_losses(small_state: State, save: Save) -> None:
    inner = {name.replace("c.0.", "c._orig_mod.0."): tensor for name, tensor in small_state.items()}
    averaged = {"n_averaged": torch.tensor(7), **prefixed(inner, "module.")}
    assert_same(load_checkpoint(save(averaged)).network, small_state)
    lightning = {"loss.class_weights": torch.ones(5), **prefixed(small_state, "model.")}
    assert_same(load_checkpoint(save({"state_dict": lightning})).network, small_state)


def test_a_classifier_behind_a_dropout(torchvision_state: State, save: Save) -> None:
    state = {name: tensor for name, tensor in torchvision_state.items() if not name.startswith(("aux", "fc"))}
    weight, bias = torch.ones(6, 1024), torch.zeros(6)
    checkpoint = load_checkpoint(save({**state, "fc.1.weight": weight, "fc.1.bias": bias}))
    assert checkpoint.class_count == 6
    assert torch.equal(checkpoint.network.get_parameter("fc.weight"), weight)
    two = {"fc.0.weight": torch.ones(8, 1024), "fc.0.bias": bias, "fc.2.weight": weight, "fc.2.bias": bias}
    with pytest.raises(CheckpointError, match=r"2 missing \(fc.weight, fc.bias\); 4 unexpected \(fc.0.weight"):
        load_checkpoint(save({**state, **two}))


def test_weights_from_before_batch_norm_counted(small_state: State, save: Save) -> None:
    state = {name: tensor for name, tensor in small_state.items() if not name.endswith("num_batches_tracked")}
    assert_same(load_checkpoint(save(state)).network, small_state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, small_state: State, save: Save) -> None:
    state = {name: tensor.to(dtype) for name, tensor in small_state.items()}  # the batch counter too
    checkpoint = load_checkpoint(save(state))
    assert checkpoint.dtype == str(dtype).removeprefix("torch.")
    assert_same(checkpoint.network, {name: tensor.to(small_state[name].dtype) for name, tensor in state.items()})


def test_the_network_does_not_depend_on_the_file(small_state: State, save: Save) -> None:
    path = save(small_state)
    network = load_checkpoint(path).network
    with path.open("r+b") as file:  # the file was mapped; overwrite it in place
        file.write(b"\xff" * path.stat().st_size)
    assert_same(network, small_state)


def test_input_channels_are_read_from_the_weights(save: Save) -> None:
    checkpoint = load_checkpoint(save(build_network("keras-inception", 4, channels=1).state_dict()))
    assert checkpoint.input_channels == 1
    with torch.inference_mode():
        assert checkpoint.network(torch.rand(1, 1, 16, 16)).shape == (1, 4)


def test_what_the_metadata_says(small_state: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    metadata = {
        "form": "keras-inception",
        "labels": json.dumps(["a", "b", "c", "d", "é"]),
        "normalization": json.dumps({"mean": [0, 0, 0], "std": [1, 1, 0.5], "color_order": "bgr"}),
        "accuracy": "0.9",
    }
    save_file(small_state, path, metadata)
    checkpoint = load_checkpoint(path)
    assert checkpoint.labels == ("a", "b", "c", "d", "é")
    assert checkpoint.normalization == Normalization((0, 0, 0), (1, 1, 0.5), "bgr")
    assert checkpoint.normalization_source == "file"
    assert checkpoint.metadata["accuracy"] == "0.9"
    asked = load_checkpoint(path, normalization=NORMALIZATIONS["imagenet"])
    assert (asked.normalization, asked.normalization_source) == (NORMALIZATIONS["imagenet"], "argument")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", '["a", "b"]', "labels in its metadata: got 2 labels, expected 5"),
        ("labels", "a, b", "Expecting value"),
        ("normalization", '{"mean": [0, 0]}', r"normalization in the file's metadata: got .*expected \{\"mean\""),
        ("normalization", '{"mean": [0, 0, 0], "std": [0, 1, 1]}', "normalization in the file's metadata"),
        ("form", "vgg", r"form in the file's metadata: got 'vgg', expected one of torchvision"),
        ("form", "paper", r"do not fit form 'paper'.*those of form 'keras-inception'"),
    ],
)
def test_wrong_metadata(key: str, value: str, message: str, small_state: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(small_state, path, {key: value})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "beside",
    [
        {"class_names": ["a", "b", "c", "d", "e"]},
        {"class_to_idx": {"a": 0, "b": 1, "d": 3, "c": 2, "e": 4}},
        {"idx_to_class": {0: "a", 1: "b", 2: "c", 3: "d", 4: "e"}},
    ],
)
def test_labels_beside_the_weights(beside: dict[str, object], small_state: State, save: Save) -> None:
    assert load_checkpoint(save({"state_dict": small_state, **beside})).labels == ("a", "b", "c", "d", "e")


def test_labels_beside_the_weights_that_do_not_fit_are_left(
    small_state: State, save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_checkpoint(save({"state_dict": small_state, "classes": ["a"]})).labels is None
    assert "entry 'classes': got 1 labels, expected 5" in caplog.text


def test_the_number_of_classes_is_checked(small_state: State, save: Save) -> None:
    path = save(small_state)
    assert load_checkpoint(path, class_count=5).class_count == 5
    with pytest.raises(CheckpointError, match="got weights for 5 classes, expected 7"):
        load_checkpoint(path, class_count=7)


def test_a_form_can_be_asked_for(small_state: State, save: Save) -> None:
    path = save(small_state)
    assert load_checkpoint(path, form="keras-inception").form == "keras-inception"
    with pytest.raises(CheckpointError, match="The weights are those of form 'keras-inception': ask for that one"):
        load_checkpoint(path, form="torchvision")
    with pytest.raises(UsageError, match="got 'vgg', expected one of"):
        load_checkpoint(path, form="vgg")


def test_keys_that_do_not_fit_are_named(small_state: State, save: Save) -> None:
    state = {**small_state, "fc.weight": torch.ones(5, 31), "extra.one": torch.ones(1), "extra.two": torch.ones(1)}
    for number in range(3):
        del state[f"d.{number}.0.bias"]
    del state["b.0.weight"]
    del state["bn.weight"]
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(save(state))
    message = str(caught.value)
    assert "5 missing (b.0.weight, d.0.0.bias, d.1.0.bias, d.2.0.bias and 1 more)" in message
    assert "2 unexpected (extra.one, extra.two)" in message
    assert "1 of another shape (fc.weight: got (5, 31), expected (5, 32))" in message
    assert "save it again with torch.save(model.state_dict()" in message


def test_weights_without_a_classifier(small_state: State, save: Save) -> None:
    state = {name: tensor for name, tensor in small_state.items() if not name.startswith("fc")}
    with pytest.raises(CheckpointError, match=r"2 missing \(fc.weight, fc.bias\)"):
        load_checkpoint(save(state))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fc.bias", float("nan"), "tensor 'fc.bias': got 1 of 5 values that are NaN or infinite"),
        ("e.0.0.bias", float("inf"), "tensor 'e.0.0.bias': got 1 of 16 values"),
        ("bn.running_var", -1.0, "tensor 'bn.running_var': got negative variances"),
    ],
)
def test_values_that_cannot_be(name: str, value: float, message: str, small_state: State, save: Save) -> None:
    broken = small_state[name].clone()
    broken[0] = value
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(save({**small_state, name: broken}))


def test_a_float64_that_float32_cannot_hold(small_state: State, save: Save) -> None:
    with pytest.raises(CheckpointError, match=r"'fc.bias': got 5 of 5 values that are NaN or infinite in float32"):
        load_checkpoint(save({**small_state, "fc.bias": torch.full((5,), 1e200, dtype=torch.float64)}))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning", "ignore:TypedStorage:UserWarning")
def test_quantized_and_integer_weights(small_state: State, save: Save) -> None:
    weight = small_state["fc.weight"]
    with pytest.raises(
        CheckpointError, match=r"'fc.weight': got an integer or complex tensor \(torch.int8\), expected floa"
    ):
        load_checkpoint(save({**small_state, "fc.weight": weight.to(torch.int8)}))
    quantized = torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
    with pytest.raises(
        CheckpointError, match=r"'fc.weight': got a quantized tensor \(torch.qint8\), expected floating"
    ):
        load_checkpoint(save({**small_state, "fc.weight": quantized}))
    with pytest.raises(CheckpointError, match=r"got layout torch.sparse_coo"):
        load_checkpoint(save({**small_state, "fc.weight": weight.to_sparse()}))


def test_a_name_that_promises_another_sha256(small_state: State, save: Save, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_checkpoint(save(small_state, "googlenet-1378be20.pth"))
        assert "not as its name says" in caplog.text
        caplog.clear()
        path = save(small_state)
        load_checkpoint(path.rename(path.with_name(f"small-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")))
        assert not caplog.text

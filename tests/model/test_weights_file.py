"""Files that are not weights, or not whole: each is one message that says what it is. And nothing in a file runs."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from googlenet_edge.errors import CheckpointError
from googlenet_edge.model.weights_file import read_weights

State = dict[str, Tensor]
Save = Callable[..., Path]


class Payload:
    """Runs a shell command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


class Schedule:
    """An object that training scripts leave beside the weights."""


def refused(path: Path, message: str) -> str:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_weights(path)
    text = str(caught.value)
    assert str(path) in text
    assert "expected" in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_a_malicious_pickle_does_not_run(
    tmp_path: Path, save: Save, small_state: State, *, legacy: bool, nested: bool
) -> None:
    payload = Payload(f"touch {tmp_path / 'ran'}")
    path = save({"state_dict": small_state, "extra": payload} if nested else payload, legacy=legacy)
    refused(path, r"would call posix.system on being loaded.*nothing of it was run")
    assert not (tmp_path / "ran").exists()
    with path.open("rb") as file:  # it is a real one
        torch.load(file, weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["eval", "exec"])
def test_calls_of_builtins_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", f"c__builtin__\n{name}\n(Vopen('ran', 'w')\ntR.".encode())
        archive.writestr("weights/version", "3\n")
    refused(path, f"would call __builtin__.{name}")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickled_module(save: Save, *, legacy: bool) -> None:
    text = refused(save(nn.Linear(2, 2), legacy=legacy), "got a whole pickled object, torch.nn.modules.linear.Linear")
    assert "re-save it: torch.save(model.state_dict(), 'weights.pth')" in text


@pytest.mark.parametrize("legacy", [False, True])
def test_objects_beside_the_weights(save: Save, small_state: State, *, legacy: bool) -> None:
    text = refused(
        save({"state_dict": small_state, "schedule": Schedule()}, legacy=legacy), "got objects beside the weights"
    )
    assert "Schedule" in text
    assert "_rebuild_tensor" not in text


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_truncated_files(save: Save, small_state: State, *, legacy: bool, share: float) -> None:
    path = save(small_state, legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: max(int(share * len(content)), 40)])
    refused(path, "truncated or damaged.*copy or download it again")


@pytest.mark.parametrize("share", [0.002, 0.3, 0.999])
def test_truncated_safetensors(tmp_path: Path, small_state: State, share: float) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(small_state, path)
    content = path.read_bytes()
    path.write_bytes(content[: max(int(share * len(content)), 20)])
    refused(path, "got a truncated or damaged safetensors file")


def test_a_flipped_bit(save: Save, small_state: State) -> None:
    path = save(small_state)
    content = bytearray(path.read_bytes())
    position = content.index(small_state["fc.weight"].numpy().tobytes())
    content[position] ^= 1
    path.write_bytes(content)
    refused(path, r"its record '.*' does not match its checksum")


def test_missing_empty_and_unreadable(tmp_path: Path) -> None:
    refused(tmp_path / "none.pth", "cannot be read .No such file or directory")
    refused(tmp_path / ("a" * 300), "cannot be read .File name too long")
    (tmp_path / "empty.pth").touch()
    refused(tmp_path / "empty.pth", "got an empty file")
    refused(tmp_path / "a\0b.pth", "cannot be read .*null byte")
    os.mkfifo(tmp_path / "pipe.pth")
    refused(tmp_path / "pipe.pth", "got a device or a pipe")
    (tmp_path / "secret.pth").write_bytes(b"x")
    (tmp_path / "secret.pth").chmod(0)
    if not os.access(tmp_path / "secret.pth", os.R_OK):  # root reads everything
        refused(tmp_path / "secret.pth", "cannot be read .Permission denied")


def test_a_directory_names_the_weights_in_it(tmp_path: Path, save: Save, small_state: State) -> None:
    save(small_state, "best.pth")
    refused(tmp_path, "got a directory, .* did you mean best.pth in it")


def written(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_images_models_and_documents(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    refused(written(tmp_path, "a.pth", cv2.imencode(".jpg", image)[1].tobytes()), "got a JPEG image")
    refused(written(tmp_path, "b.pth", cv2.imencode(".png", image)[1].tobytes()), "got a PNG image")
    refused(written(tmp_path, "c.pth", "no weights, büt text\n".encode() * 40), "got a text file")
    refused(written(tmp_path, "d.pth", b"<!DOCTYPE html><html>404"), "got a web page.*download the file itself")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    refused(written(tmp_path, "e.pth", pointer), "got a Git LFS pointer.*git lfs pull")
    refused(written(tmp_path, "f.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)), "got an HDF5 file")
    refused(written(tmp_path, "g.pth", bytes(range(128, 256)) * 9), "got a file of an unknown kind")
    refused(written(tmp_path, "h.pth", b"\0" * 1000), "got a file of an unknown kind")
    refused(written(tmp_path, "i.pth", b"x"), "got a text file")
    refused(written(tmp_path, "j.plan", b"ftrt" + bytes(100)), "got a TensorRT engine")


@pytest.mark.parametrize("name", ["model.onnx", "model.pth"])
def test_an_onnx_model_is_a_starting_point(tmp_path: Path, name: str) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [value])
    path = written(tmp_path, name, onnx.helper.make_model(graph, producer_name="test").SerializeToString())
    refused(path, "got an ONNX model.*use it as an ONNX starting point")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_archives(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "script.pt")
    refused(tmp_path / "script.pt", r"got a TorchScript archive.*torch.jit.load\(FILE\).state_dict\(\)")
    np.savez(tmp_path / "arrays.npz", a=np.zeros(2))
    refused(tmp_path / "arrays.npz", "got a NumPy archive")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "a.zip", "got a zip archive.*unpack it first")
    with tarfile.open(tmp_path / "old.pth", "w") as tar:
        tar.addfile(tarfile.TarInfo("sys_info"), io.BytesIO())
    refused(tmp_path / "old.pth", "got a tar archive.*re-save it with a recent one")


def test_a_pickle_that_torch_did_not_write(tmp_path: Path) -> None:
    path = written(tmp_path, "weights.pkl", pickle.dumps({"fc.weight": np.zeros(3)}))
    refused(path, "got a pickle that torch.save did not write.*use torch.save")


def test_things_that_are_no_state_dict(save: Save, small_state: State) -> None:
    refused(save(torch.zeros(3)), "got a single tensor of shape")
    refused(save([small_state]), "got a list, expected a state dict")
    refused(save({}), r"entries \(none\) and no weights")
    refused(save({"epoch": 3, "optimizer": {"state": {0: torch.ones(1)}}}), "entries epoch, optimizer and no weights")
    refused(
        save({"first": small_state, "second": small_state}), "more than one state dict, under the entries first, second"
    )
    both = {f"{side}.{name}": tensor for side in ("student", "teacher") for name, tensor in small_state.items()}
    refused(save(both), "more than one network, under the prefixes student., teacher.")


def test_other_pickle_protocols(tmp_path: Path, small_state: State) -> None:
    torch.save(small_state, tmp_path / "weights.pth", pickle_protocol=4)  # which weights_only cannot load
    refused(tmp_path / "weights.pth", "got a file pickled with protocol 4.*re-save it without")
    torch.save({"a": Payload("true"), "b": Payload("true")}, tmp_path / "weights.pth", pickle_protocol=4)
    refused(tmp_path / "weights.pth", "would call posix.system on being loaded")


def test_control_characters_in_names_do_not_reach_the_terminal(save: Save) -> None:
    path = save({"epoch\x1b[2J": 1})
    assert "\x1b" not in refused(path, "and no weights")

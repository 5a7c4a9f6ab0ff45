from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from googlenet_edge.bundle import GoldenFrames
from googlenet_edge.cli.backend_arguments import MOST_THREADS
from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.runtime.backend import Backend
from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig
from googlenet_edge.types import TensorSpec


def test_it_says_what_it_takes_and_gives(tiny_graph_path: Path) -> None:
    with OrtBackend(tiny_graph_path, OrtConfig(threads=2)) as backend:
        typed: Backend = backend
        assert typed.input == TensorSpec("image", ("N", 224, 224, 3), "uint8")
        assert typed.outputs == (
            TensorSpec("logits", ("N", 5), "float32"),
            TensorSpec("probabilities", ("N", 5), "float32"),
        )
        assert typed.max_batch is None
        described = typed.describe()
    assert described["backend"] == "onnxruntime"
    assert (described["provider"], described["threads"]) == ("CPUExecutionProvider", "2")


@pytest.mark.parametrize("config", [OrtConfig(), OrtConfig(threads=1, optimization="off"), OrtConfig(spin=True)])
def test_it_computes_the_golden_probabilities(
    tiny_graph_path: Path, tiny_golden: GoldenFrames, config: OrtConfig
) -> None:
    with OrtBackend(tiny_graph_path, config) as backend:
        logits, probabilities = backend.infer(tiny_golden.images)
        one = [backend.submit(tiny_golden.images[i : i + 1]).result()[1] for i in range(3)]
    np.testing.assert_allclose(probabilities, tiny_golden.probabilities, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(one), probabilities, atol=1e-6)
    assert logits.dtype == np.float32
    assert logits.shape == (3, 5)
    assert (logits.argmax(axis=1) == [0, 1, 2]).all()


def test_bytes_do_as_well_as_a_path(tiny_graph_path: Path, tiny_golden: GoldenFrames) -> None:
    with OrtBackend(tiny_graph_path.read_bytes()) as backend:
        assert backend.infer(tiny_golden.images)[1].argmax(axis=1).tolist() == [0, 1, 2]


def test_results_stay_as_they_were(tiny_graph_path: Path, tiny_golden: GoldenFrames) -> None:
    with OrtBackend(tiny_graph_path) as backend:
        first = backend.submit(tiny_golden.images[:1])
        kept = first.result()[1].copy()
        backend.infer(tiny_golden.images[1:2])
        np.testing.assert_array_equal(first.result()[1], kept)
        assert first.device_stage_ns == ()


def test_a_batch_is_computed_when_it_was_submitted(tiny_graph_path: Path, tiny_golden: GoldenFrames) -> None:
    with OrtBackend(tiny_graph_path) as backend:
        typed: Backend = backend
        with typed.staging(2) as batch:
            batch[...] = tiny_golden.images[1:]
            ticket = typed.submit(batch, hold=True)
            batch[...] = 0
        assert (typed.slots, ticket.done(), ticket.withdraw()) == (1, True, False)
        assert ticket.result()[1].argmax(axis=1).tolist() == [1, 2]


@pytest.mark.parametrize("frames", [0, -1, True, 1.0, "2"])
def test_a_number_of_frames_that_is_none(tiny_graph_path: Path, frames: Any) -> None:
    message = r"input 'image': got a batch of .* frames, expected 1 to any number"
    with OrtBackend(tiny_graph_path) as backend, pytest.raises(InputError, match=message), backend.staging(frames):
        pass


def test_several_threads_may_use_it(tiny_graph_path: Path, tiny_golden: GoldenFrames) -> None:
    results: dict[int, list[int]] = {}
    with OrtBackend(tiny_graph_path, OrtConfig(threads=1)) as backend:

        def work(index: int) -> None:
            results[index] = [int(backend.infer(tiny_golden.images[index : index + 1])[1].argmax()) for _ in range(10)]

        threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert results == {index: [index] * 10 for index in range(3)}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            np.zeros((1, 3, 224, 224), np.float32),
            r"input 'image': got float32 \(1, 3, 224, 224\), expected uint8 \(N, 224, 224, 3\) BGR; normalisa",
        ),
        (np.zeros((1, 224, 224, 3), np.float32), "got float32"),
        (np.zeros((224, 224, 3), np.uint8), r"got uint8 \(224, 224, 3\)"),
        (np.zeros((1, 225, 224, 3), np.uint8), r"got uint8 \(1, 225, 224, 3\)"),
        (np.zeros((0, 224, 224, 3), np.uint8), "with 1 to any number of frames"),
        (np.zeros((1, 224, 448, 3), np.uint8)[:, :, ::2], "C-contiguous, but its strides are"),
        (None, "got NoneType"),
    ],
)  # fmt: skip
def test_a_batch_that_is_none(tiny_graph_path: Path, batch: Any, message: str) -> None:
    with OrtBackend(tiny_graph_path) as backend, pytest.raises(InputError, match=message):
        backend.submit(batch)


def test_a_closed_backend_says_so(tiny_graph_path: Path, tiny_golden: GoldenFrames) -> None:
    backend = OrtBackend(tiny_graph_path)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="it is closed, expected an open one"):
        backend.infer(tiny_golden.images)
    with pytest.raises(BackendError, match="it is closed, expected an open one"), backend.staging(1):
        pass


def test_files_that_are_no_graph(tmp_path: Path, tiny_graph_path: Path) -> None:
    with pytest.raises(BackendError, match=r"ONNX graph '.*none.onnx': ONNX Runtime .* cannot load it: .*; make the"):
        OrtBackend(tmp_path / "none.onnx")
    with pytest.raises(BackendError, match="cannot load it"):
        OrtBackend(tmp_path)
    (tmp_path / "cut.onnx").write_bytes(tiny_graph_path.read_bytes()[:400])
    with pytest.raises(BackendError, match="cannot load it") as caught:
        OrtBackend(tmp_path / "cut.onnx")
    assert caught.value.__cause__ is not None
    with pytest.raises(BackendError, match="ONNX graph of 0 bytes"):
        OrtBackend(b"")


def test_a_graph_with_other_names_is_not_taken(tiny_graph_path: Path) -> None:
    other = tiny_graph_path.read_bytes().replace(b"probabilities", b"probabilitiez")
    with pytest.raises(
        BackendError, match=r"got .*'probabilitiez': .*expected .*'probabilities': .*googlenet-edge deploy"
    ):
        OrtBackend(other)


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2", MOST_THREADS + 1, 10**20])
def test_a_number_of_threads_that_is_none(threads: Any) -> None:
    with pytest.raises(InputError, match=r"threads: got .*, expected a whole number from 1 to 1024, or None"):
        OrtConfig(threads=threads)


def test_an_optimization_that_is_none() -> None:
    with pytest.raises(InputError, match="optimization: got 'some', expected 'all' or 'off'"):
        OrtConfig(optimization="some")  # type: ignore[arg-type]


def test_loading_prints_nothing_and_reaches_no_host_package(tiny_bundle: Path) -> None:
    script = (
        "import json, sys\n"
        "import numpy as np\n"
        "from googlenet_edge import Classifier\n"
        "with Classifier(sys.argv[1]) as classifier:\n"
        "    classifier.classify(np.zeros((48, 64, 3), np.uint8))\n"
        "heavy = {'torch', 'onnx', 'onnxsim', 'safetensors', 'PIL', 'rich'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tiny_bundle)], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
    assert done.stderr == ""


def test_the_verbs_let_through_as_many_threads_as_it_takes() -> None:
    assert OrtConfig(threads=MOST_THREADS).threads == MOST_THREADS


@pytest.mark.parametrize("cli", [False, True])
def test_onnx_runtime_leaves_no_telemetry_behind(cli: bool, tiny_graph_path: Path, tmp_path: Path) -> None:
    first = "from googlenet_edge.cli.main import main; main(['doctor'])" if cli else "pass"
    code = f"{first}; from googlenet_edge.runtime.ort_backend import OrtBackend; OrtBackend({str(tiny_graph_path)!r})"
    suppressed = ("ORT_", "CI", "XDG_", "GITHUB_", "TF_BUILD")  # ONNX Runtime collects nothing in some CI systems
    environment = {name: value for name, value in os.environ.items() if not name.startswith(suppressed)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    # GStreamer, where the doctor asks it what it has, keeps a list of its own.
    assert [path for path in left if "gstreamer-1.0" not in path.parts] == []


def test_a_graph_whose_path_is_not_utf_8_is_loaded(tiny_graph_path: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    path.write_bytes(tiny_graph_path.read_bytes())
    with OrtBackend(path) as backend:
        assert backend.input.name == "image"
    with pytest.raises(BackendError, match="No such file"):
        OrtBackend(tmp_path / os.fsdecode(b"\xe9.onnx"))

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from googlenet_edge.bundle import BundleFacts, GoldenFrames
from googlenet_edge.bundle.writer import write_bundle
from googlenet_edge.demo.dataset import LABELS
from googlenet_edge.graph.store import sha256_of
from googlenet_edge.quantization.quantize import QuantizeConfig
from googlenet_edge.types import TensorSpec
from tools import compare_quantizers
from tools.quantizers import stages
from tools.quantizers.evaluator import Score, from_arrays, logits_of, score
from tools.quantizers.inspection import Inspection, inspect_graph
from tools.quantizers.peers import ABLATIONS, PEERS, TOOLS, Peer
from tools.quantizers.process import Limits, run_limited
from tools.quantizers.results import Build, Calibrated, Result, load_result, rank, save_result
from tools.quantizers.table import markdown

MINMAX = next(peer for peer in PEERS if peer.name == "ort-minmax-trt")
RNG = np.random.default_rng(0)


def small_classifier() -> onnx.ModelProto:
    """Two convolutions, a pool and a linear layer, with the demo's classes."""
    constants: dict[str, Any] = {
        "multiplier": np.full((1, 3, 1, 1), 1 / 64, np.float32),
        "offset": np.full((1, 3, 1, 1), -2, np.float32),
        "conv1.weight": RNG.normal(size=(8, 3, 7, 7)).astype(np.float32) / 12,
        "conv1.bias": RNG.normal(size=8).astype(np.float32),
        "conv2.weight": RNG.normal(size=(8, 8, 3, 3)).astype(np.float32) / 6,
        "conv2.bias": RNG.normal(size=8).astype(np.float32),
        "fc.weight": RNG.normal(size=(len(LABELS), 8)).astype(np.float32),
        "fc.bias": RNG.normal(size=len(LABELS)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["cast"], ["transpose"], "transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["transpose", "multiplier"], ["mul"], "mul"),
        helper.make_node("Add", ["mul", "offset"], ["add"], "add"),
        helper.make_node("Conv", ["add", "conv1.weight", "conv1.bias"], ["conv1"], "conv1", strides=[8, 8]),
        helper.make_node("Relu", ["conv1"], ["relu1"], "relu1"),
        helper.make_node("MaxPool", ["relu1"], ["pool"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pool", "conv2.weight", "conv2.bias"], ["conv2"], "conv2"),
        helper.make_node("Relu", ["conv2"], ["relu2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["relu2"], ["average"], "average"),
        helper.make_node("Flatten", ["average"], ["flatten"], "flatten"),
        helper.make_node("Gemm", ["flatten", "fc.weight", "fc.bias"], ["logits"], "fc", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 45]) for n in ("logits", "probabilities")]
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 224, 224, 3])], outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


MODEL = small_classifier()


def pictures(count: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    """Smooth pictures, each with its own colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return np.stack([np.asarray(cv2.resize(image, (224, 224), interpolation=cv2.INTER_CUBIC)) for image in coarse])


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """A folder of environments whose onnxruntime is the one of the tests."""
    python = tmp_path / "environments" / "onnxruntime" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return tmp_path / "environments"


@pytest.fixture
def comparison(tmp_path: Path, environments: Path) -> stages.Comparison:
    graph = tmp_path / "fp32.onnx"
    onnx.save(MODEL, graph)
    images = pictures(16, seed=2)
    frames = from_arrays("pictures", images, np.arange(16) % 45)
    reference = logits_of(graph, frames, ignore)
    return stages.Comparison(
        graph, sha256_of(graph), reference, frames, Limits(4_000_000_000, 120), environments, tmp_path / "out"
    )


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    path = tmp_path / "crops.npy"
    np.save(path, pictures(4))
    return path


def ignore(*_: object) -> None:
    pass


class Run:
    """Compares one peer and remembers what was done for it."""

    def __init__(self, comparison: stages.Comparison, crops: Path) -> None:
        self.comparison, self.crops = comparison, crops
        self.done: list[str] = []

    def __call__(self, peer: Peer = MINMAX, **changes: Any) -> Result:
        self.done.clear()
        comparison = replace(self.comparison, **changes)
        return stages.compare_one(comparison, peer, self.crops, 4, progress=ignore, say=self.done.append)


@pytest.fixture
def run(comparison: stages.Comparison, crops: Path) -> Run:
    return Run(comparison, crops)


# ---- the whole of it, with ONNX Runtime as the peer


def test_quantizes_judges_and_builds(run: Run) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = run()
    calibrated, found, judged, build = result.calibrated, result.inspection, result.score, result.build
    assert (calibrated.status, calibrated.error, result.problem) == ("ok", None, None)
    assert 0 < calibrated.seconds["table"] < calibrated.seconds["total"] < (calibrated.wall_seconds or 0)
    assert 50e6 < (calibrated.peak_bytes or 0) < 2e9
    assert {"onnxruntime", "onnx", "numpy"} <= {*calibrated.versions}
    assert found == Inspection((), 2, 3, ("int8",), "float", ("float32",))
    assert judged is not None
    assert judged.frames == 16
    assert 20 < (judged.sqnr_db or 0) < 60
    assert build is not None
    assert (build.parsed, build.built, build.error) == (True, True, None)
    assert (build.plan_bytes or 0) > 1000
    assert load_result(run.comparison.folder / "ort-minmax-trt-4" / "result.json") is not None


def test_uses_what_is_finished_until_something_changes(run: Run, crops: Path) -> None:
    first = run(build=False)
    assert run.done == ["quantizing", "judging"]
    assert run(build=False) == first
    assert run.done == []
    model = run.comparison.folder / "ort-minmax-trt-4" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-100])
    assert run(build=False).score == first.score
    assert run.done == ["quantizing", "judging"]
    few = from_arrays("few", run.comparison.frames.images[:8], run.comparison.frames.truth[:8])
    judged = run(build=False, frames=few, reference=run.comparison.reference[:8]).score
    assert run.done == ["judging"]
    assert judged is not None
    assert judged.frames == 8
    run(build=False, fresh=True)
    assert run.done == ["quantizing", "judging"]
    np.save(crops, pictures(4, seed=3))
    run(build=False)
    assert run.done[0] == "quantizing"
    run(replace(MINMAX, options={**MINMAX.options, "placement": "default"}), build=False)
    assert run.done[0] == "quantizing"


@pytest.mark.parametrize("method", ["MinMax", "Entropy", "Percentile"])
def test_is_what_quantize_static_does(run: Run, method: str, tmp_path: Path) -> None:
    """The script takes calibrating and quantizing apart, for their times: the outcome must be the same."""
    peer = Peer("direct", "onnxruntime", "ort_static", {"method": method, "placement": "default"})
    assert run(peer, build=False).calibrated.status == "ok"
    direct = tmp_path / "direct.py"
    direct.write_text(
        "import sys, numpy as np\n"
        "from onnxruntime.quantization import *\n"
        "class Reader(CalibrationDataReader):\n"
        "    def __init__(self): self.left = [*np.load(sys.argv[2])]\n"
        "    def get_next(self): return {'image': self.left.pop(0)[None]} if self.left else None\n"
        f"quantize_static(sys.argv[1], sys.argv[3], Reader(), calibrate_method=CalibrationMethod.{method},\n"
        "    per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,\n"
        "    nodes_to_exclude=['cast', 'transpose', 'mul', 'add'],\n"
        "    extra_options={'ActivationSymmetric': True, 'WeightSymmetric': True, 'QuantizeBias': False})\n",
        encoding="utf-8",
    )
    expected = tmp_path / "expected.onnx"
    command = [sys.executable, *map(str, (direct, run.comparison.graph, run.crops, expected))]
    subprocess.run(command, check=True, capture_output=True)
    got = logits_of(run.comparison.folder / "direct-4" / "model.onnx", run.comparison.frames, ignore)
    np.testing.assert_array_equal(got, logits_of(expected, run.comparison.frames, ignore))
    assert not np.array_equal(got, run.comparison.reference)


def test_what_fails_is_a_result_with_its_reason(run: Run) -> None:
    wrong = run(Peer("wrong", "onnxruntime", "ort_static", {"method": "Magic", "placement": "default"}))
    assert wrong.calibrated.status == "error"
    assert "Magic" in str(wrong.calibrated.error)
    crashing = run.comparison.environments / "crashing" / "bin" / "python"
    crashing.parent.mkdir(parents=True)
    crashing.write_text(f'#!/bin/sh\n[ "$1" = -I ] && exec {sys.executable} "$@"\necho boom; kill -SEGV $$\n')
    crashing.chmod(0o755)
    crashed = run(replace(MINMAX, name="crashed", environment="crashing"))
    assert crashed.calibrated.status == "error"
    assert "ended with -11 and no report: boom" in str(crashed.calibrated.error)
    absent = run(Peer("absent", "absent", "ort_static", {}))
    assert absent.calibrated.status == "not installed"
    assert "--setup absent" in str(absent.calibrated.error)
    small = run(Peer("small", "onnxruntime", "ort_static", MINMAX.options), limits=Limits(30_000_000, 60))
    assert (small.calibrated.status, small.problem) == ("out of memory", "out of memory")
    run(Peer("small", "onnxruntime", "ort_static", MINMAX.options), limits=Limits(30_000_000, 60))
    assert run.done == []  # it would only meet its limit again
    short = run(Peer("short", "onnxruntime", "ort_static", MINMAX.options), limits=Limits(4_000_000_000, 0.05))
    assert short.calibrated.status == "out of time"
    assert rank([wrong, crashed, absent, small, short]) == {}


def test_command_line_compares_and_writes_everything(
    tmp_path: Path, environments: Path, tiny_facts: BundleFacts, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = replace(
        tiny_facts, labels=LABELS,
        outputs=(TensorSpec("logits", ("N", 45), "float32"), TensorSpec("probabilities", ("N", 45), "float32")),
    )  # fmt: skip
    golden = GoldenFrames(pictures(1), np.full((1, 45), 1 / 45, np.float32))
    write_bundle(tmp_path / "bundle", facts, graph=MODEL.SerializeToString(), golden=golden, tolerance=1e-4)
    images = tmp_path / "images"
    images.mkdir()
    for number, picture in enumerate(pictures(6)):
        cv2.imwrite(str(images / f"{number}.png"), picture)
    out = tmp_path / "out"
    arguments = [
        str(tmp_path / "bundle"), "--images", str(images), "--sizes", "2", "4", "--eval-split", "selection",
        "--eval-count", "3", "--environments", str(environments), "--out", str(out), "--no-build",
        "--peers", "ort-minmax-trt", "nncf", "--markdown", str(tmp_path / "table.md"),
    ]  # fmt: skip
    assert compare_quantizers.main(arguments) == 0
    written = json.loads((out / "compare_quantizers.json").read_text())
    assert written["ranking"] == {"2": {"ort-minmax-trt": 1}, "4": {"ort-minmax-trt": 1}}
    assert [len(s["names"]) for s in written["images"]["sets"]] == [2, 4]
    assert written["frames"]["set"] == "demo:selection?count=3"
    assert written["fp32"]["frames"] == 3
    assert "nncf, 2 images: no rank: there is no environment" in capsys.readouterr().out.replace("\n", " ")
    table = (tmp_path / "table.md").read_text()
    assert "| 1 | ort-minmax-trt |" in table
    assert "not installed" in table
    assert compare_quantizers.main([*arguments[:4], "7", *arguments[6:]]) == 1
    assert "got 6, expected 7" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        compare_quantizers.main(["bundle", "--setup"])
    assert compare_quantizers.main([str(tmp_path / "nothing")]) == 1


# ---- its parts


def test_score() -> None:
    reference = np.array([[2, 0, 0], [0, 1, 0]], np.float32)
    got = np.array([[2, 0, 0.5], [0, 1, 1.5]], np.float32)
    judged = score(reference, got, np.array([0, 1]))
    assert judged.sqnr_db == pytest.approx(10 * np.log10(5 / 2.5))
    assert (judged.agreement_percent, judged.top1_percent, judged.max_abs_error) == (50, 50, 1.5)
    assert score(reference, reference, np.array([1, 1])) == Score(2, None, 100, 50, 0)
    for bad in (got[:1], got * np.nan):
        with pytest.raises(ValueError, match="expected"):
            score(reference, bad, np.array([0, 1]))


def quantized(
    *, kind: type[np.generic] = np.int8, zero_point: int = 0, scale: float = 0.1, domain: str = "", bias: bool = False
) -> onnx.ModelProto:
    """One convolution with a pair before it; ``bias``: with an int32 one."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], domain=domain),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], domain=domain),
        helper.make_node("MaxPool", ["xd"], ["xp"], kernel_shape=[1, 1]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"], axis=0),
        helper.make_node("Conv", ["xp", "wd", *(["bd"] if bias else [])], ["y"]),
    ]
    constants: dict[str, Any] = {
        "s": np.array(scale, np.float32), "z": np.array(zero_point, kind), "w": np.ones((2, 1, 1, 1), np.int8),
        "ws": np.ones(2, np.float32),
    }  # fmt: skip
    if bias:
        nodes.insert(4, helper.make_node("DequantizeLinear", ["b", "ws"], ["bd"], axis=0))
        constants["b"] = np.ones(2, np.int32)
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph)


def test_inspection_finds_what_tensorrt_refuses() -> None:
    assert inspect_graph(quantized()) == Inspection((), 1, 1, ("int8",), "float", ("float32",))
    unsigned = inspect_graph(quantized(kind=np.uint8))
    assert (unsigned.faults, unsigned.activation_types) == (("2 x uint8 activation",), ("uint8",))
    assert inspect_graph(quantized(zero_point=3)).faults == ("2 x zero point that is not 0",)
    assert inspect_graph(quantized(scale=0)).faults == ("2 x scale that is not above 0",)
    assert inspect_graph(quantized(domain="com.microsoft")).faults == (
        "DequantizeLinear of domain com.microsoft", "QuantizeLinear of domain com.microsoft",
    )  # fmt: skip
    biased = inspect_graph(quantized(bias=True))
    assert (biased.faults, biased.bias) == (("int32 constant",), "int32")
    assert inspect_graph(MODEL).faults == ("no convolution or matrix product is quantized",)
    unmarked = quantized()
    for node in unmarked.graph.node[:2]:
        node.input.pop()  # without a zero point, QuantizeLinear makes uint8
    assert "uint8 activation" in inspect_graph(unmarked).faults


def made(peer: str, sqnr_db: float | None, **changes: Any) -> Result:
    found = Inspection((), 57, 58, ("int8",), "float", ("float32",))
    judged = Score(100, sqnr_db, 99.0, 98.0, 0.5)
    build = Build(True, True, None, "SM86", (1, 4, 8), {}, 1.0, 11_000_000)
    calibrated = Calibrated("ok", seconds={"table": 1.25, "total": 2.5}, peak_bytes=600_000_000)
    return replace(Result(peer, 32, f"note of {peer}", {}, calibrated, None, found, judged, build), **changes)


def test_ranks_by_sqnr_what_tensorrt_accepts() -> None:
    refused = Build(False, False, "the parser refuses it", "SM86", (1, 4, 8), {})
    results = [
        made("worse", 20.0),
        made("best", 30.5),
        made("unsigned", 40.0, inspection=Inspection(("3 x uint8 activation",), 57, 58, ("uint8",), "float", ())),
        made("refused", 41.0, build=refused),
        made("float", None),
        made("unjudged", 50.0, fault="no logits"),
        made("crashed", 60.0, calibrated=Calibrated("out of memory", "stopped")),
        made("ablation", 35.0, ranked=False),
    ]
    assert rank(results) == {"best": 1, "worse": 2}
    problems = {result.peer: result.problem for result in results}
    assert problems["unsigned"] == "3 x uint8 activation"
    assert problems["refused"] == "the parser refuses it"
    assert problems["crashed"] == "out of memory"
    lines = markdown(results, Score(100, None, 100, 98.5, 0)).splitlines()
    assert lines[4] == "| 1 | best | 30.50 | 99.00 | 98.00 | 57/58 | 1.2 | 2.5 | 600 | 11.0 MB |"
    assert lines[5].startswith("| 2 | worse |")
    assert any(line.startswith("| - | unsigned | 40.00 ") and "57/58 uint8" in line for line in lines)
    assert "- `best`: note of best" in lines
    assert "float32: top-1 98.50 % on 100 frames." in lines


def test_results_survive_their_file(tmp_path: Path) -> None:
    result = made("one", 20.5, keys={"calibrated": "abc"})
    save_result(result, tmp_path / "result.json")
    assert load_result(tmp_path / "result.json") == result
    assert load_result(tmp_path / "none.json") is None
    (tmp_path / "result.json").write_text('{"peer": 3}')
    assert load_result(tmp_path / "result.json") is None


def ends(pid: int) -> bool:
    """Is the process gone, or does it go within ten seconds? Who is killed needs a moment to give its memory back."""
    for _ in range(100):
        try:
            if "zombie" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_limits_stop_a_process_and_all_that_it_started(tmp_path: Path) -> None:
    python = [sys.executable, "-S", "-c"]
    log = tmp_path / "log.txt"
    environment: dict[str, str] = {}
    fine = run_limited([*python, "print('hello')"], environment=environment, limits=Limits(time_s=60), log=log)
    assert (fine.returncode, fine.stopped, log.read_text()) == (0, "", "hello\n")
    failed = run_limited([*python, "raise SystemExit(3)"], environment=environment, limits=Limits(), log=log)
    assert (failed.returncode, failed.stopped) == (3, "")
    grow = "import time; data = bytearray(300_000_000); time.sleep(60)"
    limits = Limits(memory_bytes=200_000_000, time_s=60)
    large = run_limited([*python, grow], environment=environment, limits=limits, log=log)
    assert (large.stopped, large.peak_bytes > 200_000_000) == ("memory", True)
    assert large.seconds < 30
    nested = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-S', '-c', {grow!r}])\n"
        "print(child.pid, flush=True); child.wait()"
    )
    both = run_limited([*python, nested], environment=environment, limits=limits, log=log)
    assert both.stopped == "memory"
    assert ends(int(log.read_text()))
    slow = run_limited([*python, "import time; time.sleep(60)"], environment={}, limits=Limits(time_s=0.2), log=log)
    assert (slow.stopped, slow.returncode) == ("time", -9)
    with pytest.raises(ValueError, match="more than 0"):
        Limits(memory_bytes=0)


def test_every_peer_has_a_script_and_pinned_versions() -> None:
    for peer in PEERS:
        assert (TOOLS / "quantizers" / f"{peer.module}.py").is_file()
        if peer.environment:
            lines = (TOOLS / "quantizers" / f"{peer.environment}.txt").read_text().splitlines()
            pins = [line for line in lines if not line.startswith("#")]
            assert pins
            assert all(len(pin.split("==")) == 2 and "/" not in pin for pin in pins)
    assert len({peer.name for peer in (*PEERS, *ABLATIONS)}) == len(PEERS) + len(ABLATIONS)
    for peer in ABLATIONS:
        assert QuantizeConfig(**peer.options) != QuantizeConfig()
        assert not peer.ranked

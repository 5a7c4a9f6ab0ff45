from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import GraphError, InputError, VerificationError
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.graph.verify import Tolerance, compare, sqnr_db

Frames = Callable[..., npt.NDArray[np.uint8]]


@pytest.fixture
def frames(make_frames: Frames) -> npt.NDArray[np.uint8]:
    return make_frames(11, 64)


def altered(path: Any, tensor: str, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> onnx.ModelProto:
    model = onnx.load(path)
    (initializer,) = [entry for entry in model.graph.initializer if entry.name == tensor]
    value = change(onnx.numpy_helper.to_array(initializer).copy())
    initializer.CopyFrom(onnx.numpy_helper.from_array(value, tensor))
    return model


def scaled(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return (value * np.float32(1.05)).astype(value.dtype)


@pytest.mark.parametrize("reference", ["deployable", "exported", "simplified"])
def test_an_altered_weight_is_found_and_located(steps: Any, frames: npt.NDArray[np.uint8], reference: str) -> None:
    made = steps("keras-inception")
    broken = altered(made.simplified, "e.1.0.weight", scaled)
    with pytest.raises(VerificationError, match=r"first tensor beyond it is 'e\.1\.0' .*after 'e\.0\.1'") as caught:
        compare(getattr(made, reference), broken, frames)
    assert "batch 1" in str(caught.value)
    assert "SQNR" in str(caught.value)
    assert "worst for frame" in str(caught.value)


def test_the_worst_frame_is_named(steps: Any, frames: npt.NDArray[np.uint8]) -> None:
    """Channel 0 of frame 7 alone goes beyond what the altered graph lets through."""
    made = steps("keras-inception")
    model = onnx.load(made.simplified)
    frames = frames // 2
    frames[7] = 255
    limit = onnx.numpy_helper.from_array(np.array(150, np.float32), "limit")
    model.graph.initializer.append(limit)
    position = next(i for i, node in enumerate(model.graph.node) if node.name == "input.transpose")
    model.graph.node.insert(position, onnx.helper.make_node("Min", ["input.cast", "limit"], ["low"], name="input.clip"))
    model.graph.node[position + 1].input[0] = "low"
    with pytest.raises(VerificationError, match=r"worst for frame 7; the first tensor beyond it is 'input.transpose'"):
        compare(made.simplified, model, frames, batches=(8,), tolerance=Tolerance(max_abs_error=1e-4))


def test_the_same_graph_agrees_exactly(steps: Any, frames: npt.NDArray[np.uint8]) -> None:
    made = steps("keras-inception")
    first, second = compare(made.simplified, made.simplified, frames, batches=(2, 4))
    assert (first.batch, second.batch) == (2, 4)
    assert first.frames == second.frames == 11
    assert first.sqnr_db == float("inf")
    assert first.max_abs_error == 0
    assert first.top1_agreement == 1


def test_the_tolerance_decides(steps: Any, frames: npt.NDArray[np.uint8]) -> None:
    made = steps("keras-inception")
    broken = altered(made.simplified, "fc.bias", lambda bias: bias + np.float32(0.02))
    with pytest.raises(VerificationError, match=r"got max abs error 0\.02 \(at most 0\.01\)"):
        compare(made.simplified, broken, frames, tolerance=Tolerance(min_sqnr_db=0))
    (agreement,) = compare(made.simplified, broken, frames, batches=(4,), tolerance=Tolerance(0.03, 10))
    assert agreement.max_abs_error == pytest.approx(0.02, rel=0.01)
    assert 10 < agreement.sqnr_db < 90
    best = int(OnnxRunner(made.simplified).run(frames)[0][0].argmax())

    def lift_another(bias: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        lifted = bias.copy()
        lifted[(best + 1) % len(bias)] += 1000
        return lifted

    turned = altered(made.simplified, "fc.bias", lift_another)
    with pytest.raises(VerificationError, match="top-1 agreement"):
        compare(made.simplified, turned, frames, tolerance=Tolerance(float("inf"), -100, 1.0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_results_that_are_not_finite_are_located(steps: Any, frames: npt.NDArray[np.uint8], bad: float) -> None:
    made = steps("keras-inception")

    def spoil(bias: npt.NDArray[Any]) -> npt.NDArray[Any]:
        bias[0] = bad
        return bias

    broken = altered(made.simplified, "e.0.0.bias", spoil)
    with pytest.raises(VerificationError, match=r"NaN or infinite results for frame 0, first in tensor 'e\.0\.0'"):
        compare(made.simplified, broken, frames)


def test_a_graph_that_mixes_the_images_of_a_batch_is_found(steps: Any, frames: npt.NDArray[np.uint8]) -> None:
    """The mean over the batch is the image itself at batch 1, and something else at batch 8."""
    made = steps("keras-inception")
    model = onnx.load(made.simplified)
    position = next(i for i, node in enumerate(model.graph.node) if node.name == "avgpool")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "first"))
    source = model.graph.node[position].input[0]
    mean = onnx.helper.make_node("ReduceMean", [source, "first"], ["mixed"], name="mean", keepdims=1)
    spread = onnx.helper.make_node("Max", ["mixed", "lowest"], ["spread"], name="spread")
    zero = onnx.helper.make_node("Mul", [source, "zero"], ["lowest"], name="zeros")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0, np.float32), "zero"))
    model.graph.node[position].input[0] = "spread"
    for node in (spread, zero, mean):
        model.graph.node.insert(position, node)
    with pytest.raises(VerificationError, match=r"batch 8: got .*first tensor beyond it is 'avgpool"):
        compare(made.simplified, model, frames)
    # Even where the reference is as wrong.
    with pytest.raises(VerificationError, match="batch 8 and batch 1 give different results"):
        compare(model, model, frames)


def test_a_fixed_batch_is_found(steps: Any, frames: npt.NDArray[np.uint8]) -> None:
    model = onnx.load(steps("keras-inception").simplified)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(VerificationError, match="fails at batch 8: is the batch size dynamic"):
        compare(steps("keras-inception").simplified, model, frames)


def test_arguments(steps: Any, frames: npt.NDArray[np.uint8], tmp_path: Any) -> None:
    path = steps("keras-inception").simplified
    wrong: Any
    for wrong in (frames.astype(np.float32), frames[0], frames[:0], frames[..., :1]):
        with pytest.raises(InputError, match="expected uint8"):
            compare(path, path, wrong)
    with pytest.raises(InputError, match="at least one batch size"):
        compare(path, path, frames, batches=())
    with pytest.raises(InputError, match="tolerance"):
        Tolerance(min_top1_agreement=2)
    with pytest.raises(GraphError, match="no such file"):
        compare(path, tmp_path / "missing.onnx", frames)


@settings(max_examples=30, deadline=None)
@given(exponent=st.integers(-20, 20), ratio=st.floats(0.5, 100))
def test_sqnr_depends_on_the_ratio_alone(exponent: int, ratio: float) -> None:
    signal = np.full(50, 2.0**exponent, np.float32)
    noisy = signal.astype(np.float64) * (1 + 10 ** (-ratio / 20))
    assert sqnr_db(signal.astype(np.float64), noisy) == pytest.approx(ratio, abs=1e-3)  # type: ignore[arg-type]


def test_sqnr_at_its_ends() -> None:
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert sqnr_db(zeros, zeros) == sqnr_db(ones, ones) == float("inf")
    assert sqnr_db(zeros, ones) == float("-inf")

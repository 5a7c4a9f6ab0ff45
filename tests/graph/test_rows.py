from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.rows import node_rows

# Output size, then per branch (in, out, kernel area) as Table 1 has them, with torchvision's 3x3 in the third branch.
STEM = [(112, 3, 64, 49), (56, 64, 64, 1), (56, 64, 192, 9)]
MODULES = [
    (28, 192, 64, 96, 128, 16, 32, 32),
    (28, 256, 128, 128, 192, 32, 96, 64),
    (14, 480, 192, 96, 208, 16, 48, 64),
    (14, 512, 160, 112, 224, 24, 64, 64),
    (14, 512, 128, 128, 256, 24, 64, 64),
    (14, 512, 112, 144, 288, 32, 64, 64),
    (14, 528, 256, 160, 320, 32, 128, 128),
    (7, 832, 256, 160, 320, 32, 128, 128),
    (7, 832, 384, 192, 384, 48, 128, 128),
]


def macs_of_table(classes: int) -> int:
    total = sum(size * size * a * b * area for size, a, b, area in STEM) + 1024 * classes
    for size, channels, one, reduce3, three, reduce5, five, pool in MODULES:
        weights = channels * (one + reduce3 + reduce5 + pool) + 9 * reduce3 * three + 9 * reduce5 * five
        total += size * size * weights
    return total


def test_the_table_itself_is_one_and_a_half_billion() -> None:
    assert macs_of_table(1000) == pytest.approx(1.50e9, rel=0.004)


def test_the_graph_costs_what_the_table_says(steps: Any) -> None:
    rows = node_rows(steps("torchvision").simplified)
    assert sum(row.macs for row in rows) == macs_of_table(10)
    by_row: Counter[str] = Counter()
    for row in rows:
        by_row[row.row] += row.macs
    assert by_row["inception3a"] == 28 * 28 * (192 * (64 + 96 + 16 + 32) + 9 * (96 * 128 + 16 * 32))
    assert by_row["fc"] == 10240
    assert set(by_row) >= {"input", "output", "conv1", "maxpool1", "inception5b", "avgpool", "fc"}
    assert "other" not in by_row
    assert {row.row for row in rows if row.operator in ("Cast", "Transpose", "Mul", "Add")} == {"input"}
    assert {row.row for row in rows if row.operator == "Softmax"} == {"output"}
    assert {row.row for row in rows if row.operator == "Flatten"} == {"avgpool"}
    # Before simplifying it is the same.
    assert sum(row.macs for row in node_rows(steps("torchvision").exported)) == macs_of_table(10)


def test_every_kind_of_product(small_model: Callable[..., onnx.ModelProto]) -> None:
    def ones(*shape: int) -> Any:
        return np.ones(shape, np.float32)

    nodes = [
        make_node("Conv", ["x", "w"], ["c"], name="/conv1/Conv", group=2, strides=[2, 2], pads=[1] * 4),
        make_node("ConvTranspose", ["c", "t"], ["d"], name="up.deconv", strides=[2, 2]),
        make_node("Relu", ["d"], ["r"], name="Relu_7"),
        make_node("GlobalAveragePool", ["r"], ["g"], name="inception_3a/pool"),
        make_node("Flatten", ["g"], ["f"], name="flatten"),
        make_node("Gemm", ["f", "a"], ["h"], name="12", transB=1),
        make_node("MatMul", ["h", "b"], ["y"], name="fc"),
    ]
    constants = {"w": ones(6, 2, 3, 3), "t": ones(6, 5, 2, 2), "a": ones(7, 5), "b": ones(7, 3)}
    model = small_model(nodes, {"x": ("N", 4, 8, 8)}, {"y": ("N", 3)}, constants)
    rows = node_rows(model)
    assert [row.macs for row in rows] == [6 * 16 * 2 * 9, 6 * 16 * 5 * 4, 0, 0, 0, 5 * 7, 7 * 3]
    assert [row.row for row in rows] == ["conv1", "up", "other", "inception_3a", "inception_3a", "other", "fc"]
    fixed = small_model(nodes, {"x": (4, 4, 8, 8)}, {"y": (4, 3)}, constants)
    assert [row.macs for row in node_rows(fixed)] == [row.macs for row in rows]


def test_open_sizes_are_an_error(small_model: Callable[..., onnx.ModelProto]) -> None:
    nodes = [make_node("Conv", ["x", "w"], ["y"], name="conv")]
    model = small_model(
        nodes, {"x": ("N", 3, "h", "w")}, {"y": ("N", 4, "a", "b")}, {"w": np.ones((4, 3, 1, 1), np.float32)}
    )
    with pytest.raises(GraphError, match=r"'conv' .Conv.: got shape .* expected all its sizes"):
        node_rows(model)

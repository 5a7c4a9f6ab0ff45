"""Sizes from ONNX Runtime's profile, in events as 1.31 wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig
from googlenet_edge.runtime.ort_profile import read_bytes

CONV: dict[str, Any] = {
    "cat": "Node",
    "name": "conv1.relu_nchwc_kernel_time",
    "dur": 1200,
    "args": {
        "op_name": "Conv",
        "output_size": "3211264",
        "parameter_size": "37888",
        "activation_size": "602112",
        "input_type_shape": [{"float": [1, 3, 224, 224]}, {"float": [64, 3, 7, 7]}, {"float": [64]}],
        "output_type_shape": [{"float": [1, 64, 112, 112]}],
    },
}
FC: dict[str, Any] = {
    "cat": "Node",
    "name": "fc_kernel_time",
    "dur": 20,
    "args": {
        "op_name": "Gemm",
        "output_size": "180",
        "parameter_size": "180",
        "activation_size": "4096",
        "input_type_shape": [{"float": [1, 1024]}, {"float": [45]}],
        "output_type_shape": [{"float": [1, 45]}],
    },
}
OTHERS: list[dict[str, Any]] = [
    {"cat": "Session", "name": "model_run", "dur": 3000},
    {"cat": "Node", "name": "conv1.relu_nchwc_fence_before", "dur": 0, "args": {"op_name": "Conv"}},
]


def test_what_is_read_and_written_is_added_up_once_a_run() -> None:
    assert read_bytes([*OTHERS, CONV, FC, CONV, FC], runs=2) == {
        "conv1.relu_nchwc": 3211264 + 37888 + 602112,
        "fc": 180 + 180 + 4096 + 1024 * 45 * 4,
    }


def test_weights_of_a_product_that_are_told_are_not_counted_twice() -> None:
    told = {**FC["args"], "parameter_size": "184500", "input_type_shape": [{"float": [1, 1024]}, {"float": [1024, 45]}]}
    assert read_bytes([{**FC, "args": told}], runs=1) == {"fc": 180 + 184500 + 4096}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda args: args.pop("activation_size"),
        lambda args: args.update(parameter_size="many"),
        lambda args: args.update(input_type_shape=[{"int4": [1, 1024]}]),
        lambda args: args.update(output_type_shape=[]),
        lambda args: args.update(input_type_shape=None),
    ],
)
def test_a_node_whose_sizes_are_not_told_is_left_out(spoil: Callable[[dict[str, Any]], object]) -> None:
    args = dict(FC["args"])
    spoil(args)
    assert read_bytes([{**FC, "args": args}, FC, CONV, CONV], runs=2).keys() == {"conv1.relu_nchwc"}


def test_the_installed_library_tells_the_sizes_of_all_its_nodes(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with OrtBackend(bundle.graph_path, OrtConfig(threads=1, profile_layers=True)) as backend:
        batch = np.ascontiguousarray(bundle.golden().images[:2])
        for _ in range(3):
            backend.infer(batch)
        names = {name for name, _ in backend.layer_times_ns()}
        sizes = backend.layer_bytes()
    assert sizes.keys() == names
    assert sum(sizes.values()) >= batch.nbytes, "the input is read, once, and not once for each of the three runs"
    assert sum(sizes.values()) < 100 * batch.nbytes

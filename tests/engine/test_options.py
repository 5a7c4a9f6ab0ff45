"""What a build may be asked for, and the names of GPUs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from googlenet_edge.engine.options import TARGETS, BuildOptions, parse_target
from googlenet_edge.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sm86", "8.6"),
        ("SM_86", "8.6"),
        ("86", "8.6"),
        ("8.6", "8.6"),
        ("sm120", "12.0"),
        ("12.1", "12.1"),
        ("rtx20", "7.5"),
        ("rtx30", "8.6"),
        ("RTX 3060", "8.6"),
        ("GeForce RTX 4070 Ti", "8.9"),
        ("rtx-5090", "12.0"),
        ("turing", "7.5"),
        ("ada", "8.9"),
    ],
)
def test_a_gpu_is_known_by_its_number_its_series_and_its_name(text: str, expected: str) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_offered_and_its_own_name(target: str) -> None:
    assert parse_target(target) == target
    with pytest.raises(UsageError, match=rf"expected one of .*\bsm{target.replace('.', '')}\b"):
        parse_target("gpu")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ampere", "A100"),
        ("blackwell", "GB10"),
        ("sm87", "Jetson Orin: TensorRT-RTX is not made for it; build on the device"),
        ("rtx60", "got 'rtx60', expected one of sm75"),
        ("gtx1080", "expected one of"),
        ("8.61", "expected one of"),
        ("", "got ''"),
    ],
)
def test_a_gpu_that_is_not_offered_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_target(text)


def test_targets_are_sorted_by_number_and_kept_once() -> None:
    options = BuildOptions(targets=("rtx50", "sm89", "8.6", "rtx30"))
    assert options.targets == ("8.6", "8.9", "12.0")
    assert options == BuildOptions(targets=("8.6", "8.9", "12.0"))
    assert BuildOptions(**{**asdict(options), "targets": tuple(options.targets)}) == options


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"min_batch": 0}, "expected 1 <= min"),
        ({"opt_batch": 9}, "got min 1, opt 9, max 8"),
        ({"min_batch": 2, "opt_batch": 1}, "got min 2, opt 1"),
        ({"max_batch": 1025}, "<= 1024"),
        ({"workspace_bytes": 1000}, "1 MiB to 16 TiB"),
        ({"workspace_bytes": 999_999_999_999 << 30}, "1 MiB to 16 TiB"),
        ({"optimization_level": 6}, "expected 0 to 5"),
        ({"optimization_level": -1}, "expected 0 to 5"),
        ({"dla_core": -1, "max_batch": 1}, "expected 0 or more"),
        ({"dla_core": 0}, "a DLA takes no batch that varies"),
        ({"targets": ("sm87",)}, "sm87"),
    ],
)
def test_options_that_no_tensorrt_takes_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        BuildOptions(**given)

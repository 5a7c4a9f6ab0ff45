"""How an engine is run: settings that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.runtime.trt_config import TrtConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", -1),
        ("device", True),
        ("slots", 0),
        ("slots", 9),
        ("slots", 1.5),
        ("cuda_graph", "on"),
        ("zero_copy", "yes"),
        ("timeout_s", 0.0),
        ("timeout_s", float("nan")),
        ("timeout_s", float("inf")),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(name: str, value: object) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=rf"^{name}: got .*, expected"):
        TrtConfig(**arguments)


def test_two_batches_are_under_way_by_default() -> None:
    assert TrtConfig().slots == 2

from __future__ import annotations

from googlenet_edge.plain import counted


def test_one_is_not_told_as_several() -> None:
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert [counted(number, "query", "queries") for number in (1, 2)] == ["1 query", "2 queries"]

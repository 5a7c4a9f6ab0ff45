from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from googlenet_edge.errors import InputError
from googlenet_edge.latency.cameras import CameraFigures, camera_document, cameras_table, fairness, jain_index
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.types import FrameTrace, Outages

MS = 1_000_000
TraceMaker = Callable[..., FrameTrace]


@pytest.fixture
def figures(make_trace: TraceMaker) -> Callable[..., CameraFigures]:
    def make(name: str, *, frames: int, dropped: int = 0, unfinished: int = 0) -> CameraFigures:
        recorder = LatencyRecorder(started_ns=0, warmup_frames=0)
        for number in range(frames):
            recorder.record(make_trace(number))
        return CameraFigures(
            name=name,
            description=f"/dev/{name}",
            live=True,
            captured="when the host received it",
            frames=frames,
            unfinished=unfinished,
            summary=recorder.summarize(dropped=dropped),
            outages=Outages(lost=2, reconnected=1, attempts=4, down_ns=5_250 * MS),
            ended="stopped",
            more={"skipped": 0},
        )

    return make


def test_jains_index_is_the_share_of_those_who_have_something_where_they_have_the_same() -> None:
    assert jain_index([20.0] * 10 + [0.0] * 90) == pytest.approx(0.1)
    assert jain_index([1.0, 1.0, 1.0]) == 1.0
    assert jain_index([0.0, 0.0]) == 1.0


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=20))
def test_jains_index_lies_between_one_camera_alone_and_all_alike(shares: list[float]) -> None:
    assert 1 / len(shares) - 1e-9 <= jain_index(shares) <= 1 + 1e-9


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=20), st.floats(0.001, 1000))
def test_jains_index_does_not_depend_on_the_unit(shares: list[float], factor: float) -> None:
    assert jain_index([share * factor for share in shares]) == pytest.approx(jain_index(shares))


@pytest.mark.parametrize("shares", [[], [0.5, -0.1], [float("nan")], [float("inf")]])
def test_shares_that_are_none_are_refused(shares: list[float]) -> None:
    with pytest.raises(InputError, match="expected at least one"):
        jain_index(shares)


def test_fairness_is_of_the_shares_that_were_served(figures: Callable[..., CameraFigures]) -> None:
    fast, slow = figures("a", frames=30, dropped=30), figures("b", frames=5, dropped=4, unfinished=1)
    assert (fast.served, slow.served) == (0.5, 0.5)
    assert fairness([fast, slow]) == 1.0
    assert fairness([fast, figures("c", frames=5)]) == pytest.approx(1.5**2 / (2 * 1.25))
    assert fairness([fast]) is None
    assert fairness([fast, figures("dead", frames=0)]) is None


def test_the_document_of_a_camera_is_json(figures: Callable[..., CameraFigures]) -> None:
    document = json.loads(json.dumps(camera_document(figures("front", frames=40, dropped=3, unfinished=1))))
    assert (document["name"], document["frames"], document["dropped"], document["unfinished"]) == ("front", 40, 3, 1)
    assert document["outages"] == {"lost": 2, "reconnected": 1, "attempts": 4, "down_s": 5.25}
    assert document["frame_age_ms"]["p50"] == document["stages"]["capture_to_emitted"]["p50_ms"]
    assert document["frame_age_ms"]["unreliable"] == ["p90", "p95", "p99"]
    assert document["skipped"] == 0
    assert camera_document(figures("dead", frames=0))["frame_age_ms"] is None


def test_the_table_has_a_line_a_camera_and_fits_80_characters(figures: Callable[..., CameraFigures]) -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        console = Console(width=80, record=True, file=nowhere)
        console.print(cameras_table([figures("front_door", frames=100, dropped=7), figures("dead", frames=0)]))
    lines = console.export_text().splitlines()
    cells = re.split(r"  +", lines[2].strip())
    assert cells == ["front_door", "100", "100.0", "7", "2", "1", "8.0", "8.0?", "8.0"]
    assert re.split(r"  +", lines[3].strip()) == ["dead", "0", "-", "0", "2", "1", "-", "-", "-"]
    assert "…" not in "".join(lines)

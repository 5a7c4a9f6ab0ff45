"""Turns, names and failures; and one real process."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from googlenet_edge.errors import BackendError, BundleError, InputError, UsageError
from googlenet_edge.runtime.layer_profile import ProfileConfig
from googlenet_edge.runtime.open_backend import BackendOptions
from googlenet_edge.scenarios.layers import rounds
from googlenet_edge.scenarios.layers.rounds import LayersRequest, Turn, entrants, run_rounds
from googlenet_edge.scenarios.matrix.jobs import Answer, Evaluated, LayersJob, LayersTimed, decode_job, encode
from googlenet_edge.scenarios.matrix.process import JobFailedError, run_job
from tests.scenarios.layers.making import timed

ORT = BackendOptions("onnxruntime", threads=1)


@pytest.fixture
def two(tiny_bundle: Path) -> list[Path]:
    """Two bundles in one folder."""
    return [tiny_bundle, Path(shutil.copytree(tiny_bundle, tiny_bundle.parent / "second"))]


def request_of(folders: list[Path], count: int = 3) -> LayersRequest:
    return LayersRequest(entrants(folders), ORT, ProfileConfig(inferences=3, warmup=1), rounds=count)


def test_bundles_take_turns_forth_and_back(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[LayersJob] = []
    now_ns = 0

    def measured(job: LayersJob, *, stop: threading.Event) -> Answer:
        nonlocal now_ns
        assert not stop.is_set()
        assert job.scratch.is_dir()
        now_ns += 10_000_000_000
        asked.append(job)
        return timed({"conv1": float(len(asked))})

    monkeypatch.setattr(rounds, "run_job", measured)
    turns: list[Turn] = []
    found = run_rounds(request_of(two), on_turn=turns.append, clock=lambda: now_ns)
    assert [job.bundle.name for job in asked] == ["tiny_bundle", "second", "second", "tiny_bundle"] + [
        "tiny_bundle",
        "second",
    ]
    assert [[one.report.layers_ns // 1_000_000 for one in of] for of in found] == [[1, 4, 5], [2, 3, 6]]
    assert [(turn.entrant.letter, turn.round, turn.done, turn.left) for turn in turns] == [
        ("A", 1, 0, 6),
        ("B", 1, 1, 5),
        ("B", 2, 2, 4),
        ("A", 2, 3, 3),
        ("A", 3, 4, 2),
        ("B", 3, 5, 1),
    ]
    assert [turn.seconds_left for turn in turns] == [None, 50, 40, 30, 20, 10]
    assert not asked[0].scratch.exists(), "whatever a process left there is gone"


def test_a_bundle_that_cannot_be_measured_is_named(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(job: LayersJob, *, stop: threading.Event) -> Answer:
        assert not stop.is_set()
        if job.bundle.name == "second":
            raise JobFailedError("out of memory")
        return timed({"conv1": 1.0})

    monkeypatch.setattr(rounds, "run_job", failing)
    with pytest.raises(BackendError, match=r"^B, second, round 1: out of memory$"):
        run_rounds(request_of(two))

    def mistaken(_job: LayersJob, *, stop: threading.Event) -> Answer:
        assert not stop.is_set()
        return Evaluated(dataset="x", class_count=1, results=(), skipped=0)

    monkeypatch.setattr(rounds, "run_job", mistaken)
    with pytest.raises(BackendError, match="answered with Evaluated, expected LayersTimed"):
        run_rounds(request_of(two))


def test_bundles_are_named_by_their_folders_or_where_two_have_one_name_by_their_paths(two: list[Path]) -> None:
    assert [(one.letter, one.title) for one in entrants(two)] == [("A", "tiny_bundle"), ("B", "second")]
    other = two[0].parent / "other" / "second"
    shutil.copytree(two[1], other)
    assert [one.title for one in entrants([*two, other])] == ["tiny_bundle", str(two[1]), str(other)]


def test_what_cannot_be_compared_is_refused(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 1 bundles and 3 rounds, expected at least 2 of each"):
        request_of(two[:1])
    with pytest.raises(InputError, match="got 2 bundles and 1 rounds"):
        request_of(two, 1)
    with pytest.raises(BundleError, match="got nothing there"):
        entrants([*two, tmp_path / "none"])
    with pytest.raises(UsageError, match="got 27 bundles with --layers, expected at most 26"):
        entrants(two[:1] * 27)


def test_a_process_of_its_own_times_a_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    job = LayersJob(
        bundle=tiny_bundle, options=ORT, config=ProfileConfig(batch=2, inferences=5, warmup=1), scratch=scratch
    )
    assert decode_job(encode(job)) == job
    phases: list[str] = []
    found = run_job(job, stop=threading.Event(), on_phase=phases.append)
    assert isinstance(found, LayersTimed)
    assert found.whole_ns > 0
    assert (found.report.inferences, found.report.frames) == (5, 2)
    assert {row.row for row in found.report.rows} >= {"fc"}
    assert found.report.wall_ns > found.report.layers_ns > 0
    assert found.line.startswith("ONNX Runtime ")
    assert found.backend["threads"] == found.profiled["threads"] == "1"
    assert phases == [
        "opening the bundle",
        "the first inference",
        "timing whole inferences",
        "opening it with the layers' profiler",
        "timing layers",
    ]
    assert list(scratch.iterdir()) == []


def test_a_process_that_cannot_says_why(tiny_bundle: Path, tmp_path: Path) -> None:
    job = LayersJob(bundle=tiny_bundle / "none", options=ORT, config=ProfileConfig(), scratch=tmp_path)
    with pytest.raises(JobFailedError, match="got nothing there"):
        run_job(job, stop=threading.Event())

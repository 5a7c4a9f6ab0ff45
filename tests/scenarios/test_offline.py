from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.latency.stability import StabilityConfig
from googlenet_edge.scenarios.offline import MemoryNow, OfflineConfig, memory_now, run_offline
from googlenet_edge.scenarios.rig import WarmUpConfig
from googlenet_edge.scenarios.work import Job, Work
from googlenet_edge.types import FrameTrace
from tests.scenarios.scripted import MS, Scripted

CONFIG = OfflineConfig(
    min_duration_ns=500 * MS, min_batches=5, warmup=WarmUpConfig(StabilityConfig(window=5, windows=2, maximum=10))
)


def plenty() -> MemoryNow:
    return MemoryNow(used_bytes=100 << 20, available_bytes=8 << 30)


def test_throughput_is_frames_by_time_and_the_best_is_named(script: Callable[..., Scripted]) -> None:
    """5 ms a batch and 2 ms a frame, beyond 8 frames 4 ms: 8 is the best."""

    def durations(_n: int, frames: int) -> int:
        return (5 + 2 * min(frames, 8) + 4 * max(0, frames - 8)) * MS

    scripted = script(durations, max_batch=20)
    result = run_offline(scripted.rig, CONFIG, memory=plenty)
    assert [one.batch for one in result.sizes] == [1, 2, 4, 8, 16, 20]
    for one in result.sizes:
        took_ns = durations(0, one.batch)
        assert one.fps == pytest.approx(one.batch * 1e9 / took_ns)
        assert one.batches == max(5, -(-500 * MS // took_ns)), "both minimums are met, and no batch more"
        assert one.summary.stage("capture_to_emitted").maximum.duration_ns == took_ns
        assert one.warmed_up.warmup.frames == 10
    assert result.best is not None
    assert (result.best.batch, result.ended, result.left_out) == (8, "all sizes", ())


def test_a_smaller_batch_that_is_nearly_as_good_is_named(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, frames: frames * 10 * MS + (MS if frames == 1 else MS // 2), max_batch=16)
    result = run_offline(scripted.rig, CONFIG, memory=plenty)
    assert result.best is not None
    assert result.smallest_near_best is not None
    assert (result.best.batch, result.smallest_near_best.batch) == (16, 4)


class Counting:
    """Counts the batches under way, of work of three slots."""

    frames, max_batch, slots, contains = 5, 4, 3, ""

    def __init__(self, work: Work) -> None:
        self.work, self.under_way, self.most = work, 0, 0

    def begin(self, indexes: Sequence[int], sequence: int, captured_ns: int | None = None) -> CountedJob:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return CountedJob(self, self.work.begin(indexes, sequence, captured_ns))


class CountedJob:
    def __init__(self, work: Counting, job: Job) -> None:
        self.work, self.job = work, job

    def finish(self) -> FrameTrace:
        self.work.under_way -= 1
        return self.job.finish()


def test_several_slots_are_kept_full(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, frames: frames * MS, max_batch=4, slots=3)
    work = Counting(scripted.rig.work)
    result = run_offline(replace(scripted.rig, work=work), CONFIG, memory=plenty)
    assert (work.most, work.under_way) == (3, 0)
    for one in result.sizes:
        assert one.fps == pytest.approx(1000)
        assert one.summary.count == one.batches


def test_stopping_leaves_no_batch_under_way(script: Callable[..., Scripted]) -> None:
    scripted: Scripted = script(lambda n, _frames: MS if n < 40 else scripted.stopping(MS), max_batch=4, slots=3)
    work = Counting(scripted.rig.work)
    result = run_offline(replace(scripted.rig, work=work), CONFIG, memory=plenty)
    assert (result.ended, work.most, work.under_way) == ("stopped", 3, 0)


@pytest.mark.parametrize(("total_mib", "sizes"), [(1801, [1, 2, 4, 8, 16]), (1799, [1, 2, 4, 8])])
def test_four_fifths_of_the_free_memory_may_be_used(
    script: Callable[..., Scripted], total_mib: int, sizes: list[int]
) -> None:
    """Behind 8 frames 800 MiB are in use, and 16 would take 800 MiB more: 1000 MiB must be free."""
    scripted = script(lambda _n, frames: frames * MS, max_batch=16)

    def memory() -> MemoryNow:
        used = max([0, *scripted.backend.batches]) * (100 << 20)
        return MemoryNow(used, (total_mib << 20) - used)

    assert [one.batch for one in run_offline(scripted.rig, CONFIG, memory=memory).sizes] == sizes


def test_a_size_that_would_not_fit_into_memory_is_left_out(script: Callable[..., Scripted]) -> None:
    """Each frame takes 100 MiB, of 1 GiB: batches of 16 would take 800 MiB more, and 224 are left."""
    scripted = script(lambda _n, frames: frames * MS, max_batch=16)

    def memory() -> MemoryNow:
        used = max([0, *scripted.backend.batches]) * (100 << 20)
        return MemoryNow(used, (1 << 30) - used)

    result = run_offline(scripted.rig, CONFIG, memory=memory)
    assert [one.batch for one in result.sizes] == [1, 2, 4, 8]
    assert result.ended == "memory"
    assert [size for size, _ in result.left_out] == [16]
    assert "it would take about 800 MiB more" in result.left_out[0][1]


@pytest.mark.parametrize("error", [BackendError("CUDA: out of memory\nand more"), MemoryError()])
def test_running_out_of_memory_ends_the_sizes(script: Callable[..., Scripted], error: Exception) -> None:
    def durations(_n: int, frames: int) -> int:
        if frames == 4:
            raise error
        return MS

    result = run_offline(script(durations, max_batch=8).rig, CONFIG, memory=plenty)
    assert [one.batch for one in result.sizes] == [1, 2]
    assert [size for size, _ in result.left_out] == [4, 8]
    assert all(reason.startswith("out of memory: ") and "\n" not in reason for _, reason in result.left_out)


def test_other_failures_go_through(script: Callable[..., Scripted]) -> None:
    def durations(_n: int, frames: int) -> int:
        if frames == 2:
            raise BackendError("the device is gone")
        return MS

    with pytest.raises(BackendError, match="the device is gone"):
        run_offline(script(durations).rig, CONFIG, memory=plenty)


def test_stopping_leaves_out_what_was_cut_short(script: Callable[..., Scripted]) -> None:
    scripted: Scripted = script(lambda _n, frames: MS if frames < 4 else scripted.stopping(MS), max_batch=8)
    result = run_offline(scripted.rig, CONFIG, memory=plenty)
    assert [one.batch for one in result.sizes] == [1, 2]
    assert (result.ended, result.left_out) == ("stopped", ((4, "stopped"), (8, "stopped")))


def test_stopped_at_once_there_is_no_best(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, _f: MS)
    scripted.rig.stop.set()
    result = run_offline(scripted.rig, CONFIG, memory=plenty)
    assert (result.sizes, result.best, result.smallest_near_best) == ((), None, None)


@pytest.mark.parametrize(
    ("most", "asked", "sizes"),
    [(1, None, [1]), (32, None, [1, 2, 4, 8, 16, 32]), (6, None, [1, 2, 4, 6]), (32, 3, [1, 2, 3])],
)
def test_sizes_double_up_to_the_largest(most: int, asked: int | None, sizes: list[int]) -> None:
    assert OfflineConfig(max_batch=asked).sizes(most) == sizes


@pytest.mark.parametrize("wrong", [{"max_batch": 0}, {"min_batches": 0}, {"min_duration_ns": -1}])
def test_a_config_checks_itself(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="offline: got"):
        OfflineConfig(**wrong)  # type: ignore[arg-type]


def test_memory_is_read_within_the_control_groups_limit(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    assert memory_now(tmp_path) is None
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\nSwapFree: 0 kB\n")
    (tmp_path / "proc/self/statm").write_text("900 25 10 1 0 100 0\n")
    free = memory_now(tmp_path)
    assert free is not None
    assert free.available_bytes == 4_000_000 << 10
    assert free.used_bytes % 25 == 0 < free.used_bytes
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1000000\n")
    (group / "memory.max").write_text("max\n")
    assert memory_now(tmp_path) == free
    (group / "memory.max").write_text("3000000\n")
    limited = memory_now(tmp_path)
    assert limited is not None
    assert limited.available_bytes == 2_000_000


def test_memory_of_this_machine_can_be_read() -> None:
    now = memory_now()
    assert now is not None
    assert 1 << 20 < now.used_bytes < 1 << 40

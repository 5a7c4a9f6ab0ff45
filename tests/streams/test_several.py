"""Four streams at once through one classifier: each gets its share, and a dead one costs the others nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.reconnect import Reconnect
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.stream import Camera, StreamConfig, StreamReport, run_streams
from tests.streams.servers import StreamServer
from tests.streams.timed_backend import OneSlot, TwoSlots
from tests.streams.watch import Run, Seen, Watcher, held, let_go, show

FPS = 15
OPTIONS = SourceOptions(
    open_timeout_ms=30_000,
    read_timeout_ms=1000,
    reconnect=Reconnect(attempts=None, first_delay_s=0.2, longest_delay_s=0.5),
)
DEMO_BUNDLE = Path(__file__).parents[2] / "out" / "demo-bundle"
NAMES = ["north", "east", "south", "west"]
Serve = Callable[..., StreamServer]


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 for equal shares, 1/n where one has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def percentile(values: Sequence[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[max(0, -(-share * len(ordered) // 100) - 1)]


def check_and_show(report: StreamReport, watcher: Watcher, servers: Sequence[StreamServer]) -> list[float]:
    """Print the figures of each camera, check them against the pictures, and return each camera's served share."""
    shares = []
    lines = ["camera   frames  dropped    fps  age p50   p99   of that inference p50   p99 ms  share"]
    for camera, server in zip(report.cameras, servers, strict=True):
        seen = [s for s in watcher.of(camera.name) if s.number is not None]
        assert len(seen) == camera.frames
        numbers = [s.number.number for s in seen if s.number is not None]
        assert {s.number.camera for s in seen if s.number is not None} == {server.camera}  # none went astray
        assert all(after > before for before, after in pairwise(numbers))
        check_gaps(seen, server)
        ages_ms = [(s.inferred_ns - s.captured_ns) / 1e6 for s in seen]
        inference_ms = [(s.inferred_ns - s.preprocessed_ns) / 1e6 for s in seen]
        span_s = (seen[-1].emitted_ns - seen[0].emitted_ns) / 1e9
        # Since its first result: the cameras were opened one after the other, and had frames before the run began.
        shares.append((len(seen) - 1) / (seen[-1].sequence - seen[0].sequence))
        lines.append(
            f"{camera.name:8} {camera.frames:6} {camera.dropped:8} {(len(seen) - 1) / span_s:6.1f} "
            f"{percentile(ages_ms, 50):8.1f} {percentile(ages_ms, 99):8.1f} "
            f"{percentile(inference_ms, 50):15.1f} {percentile(inference_ms, 99):8.1f}  {shares[-1]:.3f}"
        )
    show("\n".join([*lines, f"Jain's fairness index of the shares: {jain(shares):.4f}; batches: {report.batches}"]))
    return shares


def check_gaps(seen: Sequence[Seen], server: StreamServer) -> None:
    """What is missing between two results is what the sequence says, unless the camera was away in between."""
    if server.process is None:
        return
    skipped = server.skipped()
    for before, after in pairwise(seen):
        if before.number is None or after.number is None or after.captured_ns - before.captured_ns > 0.5e9:
            continue
        missing = set(range(before.number.number + 1, after.number.number)) - skipped
        assert after.sequence - before.sequence - 1 == len(missing)


@pytest.mark.parametrize("kinds", [["mjpeg"] * 4, ["mjpeg", "mjpeg", "rtsp", "rtsp"]], ids=["4 mjpeg", "2 and 2 rtsp"])
@pytest.mark.parametrize("bundle", ["tiny", "demo"])
def test_four_cameras_are_served_alike(bundle: str, kinds: list[str], serve: Serve, tiny_bundle: Path) -> None:
    """With the demo's GoogLeNet, these are more frames than two cores can compute."""
    folder = tiny_bundle if bundle == "tiny" else DEMO_BUNDLE
    if not folder.exists():
        pytest.skip(f"no {folder} (make demo)")
    servers = [serve(kind, camera=number, fps=FPS) for number, kind in enumerate(kinds)]
    before = held(besides=[pid for server in servers for pid in server.pids])
    watcher = Watcher()
    with Classifier(folder) as classifier, ExitStack() as stack:
        cameras = [
            Camera(name, stack.enter_context(open_source(server.uri, OPTIONS)))
            for name, server in zip(NAMES, servers, strict=True)
        ]
        config = StreamConfig(max_frames=240, warmup_frames=5)
        report = run_streams(cameras, classifier, [watcher], config)
    assert let_go(before, besides=[pid for server in servers for pid in server.pids]) == ""
    assert (report.ended, report.frames) == ("frame limit", 240)
    shares = check_and_show(report, watcher, servers)
    # All have the same rate and the device is quick: they get the same, but for what a busy machine takes of one.
    assert jain(shares) > 0.95
    assert min(camera.frames for camera in report.cameras) > 240 / 4 * 0.6
    # However slow the inference: it begins with frames that are younger than two periods.
    for name in NAMES:
        waits_s = [(s.preprocessed_ns - s.captured_ns) / 1e9 for s in watcher.of(name)]
        assert percentile(waits_s, 75) < 2 / FPS


@pytest.mark.parametrize("backend", [OneSlot, TwoSlots])
def test_a_device_too_slow_for_all_is_shared_alike(backend: type[OneSlot], serve: Serve, tiny_bundle: Path) -> None:
    """Four cameras of 15 frames a second, a device that takes one frame in 40 ms: 25 of 60 frames can be served."""
    servers = [serve("mjpeg", camera=number, fps=FPS) for number in range(4)]
    watcher = Watcher()
    inference_s = 0.04
    with (
        Classifier(tiny_bundle, backend=backend(tiny_bundle, inference_s, max_batch=1)) as classifier,
        ExitStack() as stack,
    ):
        cameras = [
            Camera(name, stack.enter_context(open_source(server.uri, OPTIONS)))
            for name, server in zip(NAMES, servers, strict=True)
        ]
        report = run_streams(cameras, classifier, [watcher], StreamConfig(max_frames=100, warmup_frames=5))
    shares = check_and_show(report, watcher, servers)
    assert jain(shares) > 0.95
    frames = [camera.frames for camera in report.cameras]
    assert max(frames) - min(frames) <= 0.15 * sum(frames)
    # Newest wins for each: what is served is never older than two periods of its camera and the inference.
    ages_s = [(s.inferred_ns - s.captured_ns) / 1e9 for s in watcher.seen]
    assert statistics.median(ages_s) < 2 / FPS + inference_s


def test_a_dead_camera_does_not_slow_the_others(serve: Serve, tiny_bundle: Path) -> None:
    servers = [serve("mjpeg", camera=number, fps=FPS) for number in range(4)]
    watcher = Watcher()
    with Classifier(tiny_bundle, threads=1) as classifier, ExitStack() as stack:
        cameras = [
            Camera(name, stack.enter_context(open_source(server.uri, OPTIONS)))
            for name, server in zip(NAMES, servers, strict=True)
        ]
        with Run(lambda stop: run_streams(cameras, classifier, [watcher], StreamConfig(), stop=stop)) as run:
            watcher.wait_for_frames(40, "north")
            alive_until_ns = time.monotonic_ns()
            servers[3].kill()
            watcher.wait_for(lambda: watcher.lost_ns, "the loss")
            lost_ns = time.monotonic_ns()
            watcher.wait_for_frames(40, "north")
            dead_until_ns = time.monotonic_ns()
            servers[3].start()
            watcher.wait_for_frames(15, "west")
            report = run.end()
    assert [camera for camera, _ in watcher.lost_ns] == ["west"]
    shares = check_and_show(report, watcher, servers)
    assert jain(shares) > 0.9
    outages = {camera.name: camera.outages for camera in report.cameras}
    assert (outages["west"].lost, outages["west"].reconnected) == (1, 1)
    assert all(outages[name].lost == 0 for name in NAMES[:3])
    for name in NAMES[:3]:
        healthy = [s for s in watcher.of(name) if s.emitted_ns < alive_until_ns][5:]
        alone = [s for s in watcher.of(name) if lost_ns < s.emitted_ns < dead_until_ns]
        dying = [s for s in watcher.of(name) if alive_until_ns < s.emitted_ns < lost_ns]
        figures = [(rate(part), median_age_ms(part)) for part in (healthy, [*dying, *alone])]
        show(f"{name}: with all four {figures[0][0]:.1f} frames/s, {figures[0][1]:.1f} ms; "
             f"while west was away {figures[1][0]:.1f} frames/s, {figures[1][1]:.1f} ms")  # fmt: skip
        assert figures[1][0] > 0.8 * figures[0][0]
        assert figures[1][1] < figures[0][1] + 20


def rate(seen: Sequence[Seen]) -> float:
    return (len(seen) - 1) * 1e9 / (seen[-1].captured_ns - seen[0].captured_ns)


def median_age_ms(seen: Sequence[Seen]) -> float:
    return statistics.median((s.inferred_ns - s.captured_ns) / 1e6 for s in seen)


def test_a_camera_that_is_lost_for_good_ends_alone(serve: Serve, tiny_bundle: Path) -> None:
    servers = [serve("mjpeg", camera=number, fps=FPS) for number in range(2)]
    options = SourceOptions(read_timeout_ms=1000)  # never opened again
    watcher = Watcher()
    with Classifier(tiny_bundle, threads=1) as classifier, ExitStack() as stack:
        cameras = [
            Camera(name, stack.enter_context(open_source(server.uri, options)))
            for name, server in zip(NAMES, servers, strict=False)
        ]
        with Run(lambda stop: run_streams(cameras, classifier, [watcher], stop=stop)) as run:
            watcher.wait_for_frames(10, "east")
            servers[0].kill()
            watcher.wait_for(lambda: watcher.lost_ns, "the loss")
            watcher.wait_for_frames(20, "east")
            report = run.end()
    north, east = report.cameras
    assert north.ended == "source lost"
    assert "north" not in str(east.error)
    assert (east.ended, east.error, report.ended) == ("stopped", None, "stopped")
    assert report.error is north.error is not None

"""What measuring costs: processor time per frame, with all of it against without. Promised: less than 20 us a frame.

For each frame a picture of 640x480 is copied, which is work that is not counted and puts the processor's caches to
other use, as a run does. Around it there is as much measuring as the side has:

- nothing
- stamps: the clock's readings and the frame's trace, with three durations of a device
- recorder: also the statistics, of which the second half of the frames is beyond what is kept raw
- samples: also the raw samples on disk (run --samples)

Sides run in processes of their own that take turns. A cost is the difference of two sides within a round, in processor
time; it is given as the median of the rounds and their range. Watching the machine (clocks, heat, throttling,
power) costs the same whatever the frame rate: it is measured apart, and shared among --fps frames.

    python tools/bench_measuring.py [--check]

Figures are only worth something if nothing else runs on the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.latency.trace_store import RunAbout, TraceStore
from googlenet_edge.latency.watch.run import RunWatch
from googlenet_edge.types import FrameTrace
from tools.loopbench.figures import Promise, Spread
from tools.loopbench.job import JobError

PARTS: Final = ("nothing", "stamps", "recorder", "samples")
"""Each has all that the one before it has."""
WATCH: Final = "watch"
MOST_US: Final = 20.0
DEVICE: Final = (("h2d", 91_234), ("compute", 4_876_543), ("d2h", 12_345))
_WARMUP: Final = 2000
_SETTLE_S: Final = 1.0
"""The libraries' threads are busy for a moment after they were loaded."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    if arguments.side is not None:
        value = watched_us(arguments.seconds) if arguments.side == WATCH else frame_us(arguments.side, arguments.frames)
        print(json.dumps(value))
        return 0
    try:
        runs = measure(arguments)
    except (JobError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    lines, promise = figures(runs, arguments.fps)
    print(f"{arguments.frames} frames a side and round, {arguments.rounds} rounds; us of processor time per frame")
    print("\n".join([*lines, promise.text()]))
    return 1 if arguments.check and not promise.kept else 0


def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return what each side took in each round: microseconds a frame, and of the watch those a second."""
    sides = [*PARTS, WATCH]
    runs: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(arguments.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            runs[side].append(_run(side, arguments))
    return runs


def figures(runs: Mapping[str, Sequence[float]], fps: float) -> tuple[list[str], Promise]:
    """Return a line for each part of the costs, and the sum with what is promised of it."""
    watch = Spread(tuple(value / fps for value in runs[WATCH]))
    steps = {
        "stamps and trace": _differences(runs, "nothing", "stamps"),
        "statistics": _differences(runs, "stamps", "recorder"),
        "raw samples on disk": _differences(runs, "recorder", "samples"),
        f"machine watch, at {fps:g} frames/s": watch.values,
    }
    lines = [f"  {name:34} {Spread(values).text('.1f'):>24}" for name, values in steps.items()]
    lines.append(f"  {'(the frame itself)':34} {Spread(tuple(runs['nothing'])).text('.1f'):>24}")
    measured = _differences(runs, "nothing", "samples")
    whole = Spread(tuple(a + b for a, b in zip(measured, watch.values, strict=True)))
    return lines, Promise("all measuring, per frame", whole, at_most=MOST_US, unit="us")


def frame_us(side: str, frames: int) -> float:
    """Return the processor time of a frame with this much measuring."""
    level = PARTS.index(side)
    with tempfile.TemporaryDirectory() as folder:
        store = TraceStore(Path(folder) / "run-samples.raw", RunAbout({}))
        with store:
            _loop(_WARMUP, level, store)
            began_ns = time.process_time_ns()
            _loop(frames, level, store)
            return (time.process_time_ns() - began_ns) / 1e3 / frames


def watched_us(seconds: float) -> float:
    """Return the processor time that watching the machine takes a second."""
    with RunWatch() as watch:
        time.sleep(_SETTLE_S)
        watch.start()
        began_ns, began = time.process_time_ns(), time.monotonic()
        time.sleep(seconds)
        return (time.process_time_ns() - began_ns) / 1e3 / (time.monotonic() - began)


def _loop(frames: int, level: int, store: TraceStore) -> None:
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    copy, clock = np.empty_like(image), time.monotonic_ns
    started_ns = clock()
    recorder = LatencyRecorder(started_ns=started_ns, warmup_frames=0, capacity=max(1, frames // 2))
    store.begin(started_ns)
    for sequence in range(frames):
        if level == 0:
            np.copyto(copy, image)
            continue
        captured_ns, dequeued_ns = clock(), clock()
        trace = FrameTrace(sequence, captured_ns, dequeued_ns, dequeued_ns, dequeued_ns)
        np.copyto(copy, image)
        trace = trace.with_preprocessed(clock())
        trace = trace.with_inferred(clock(), DEVICE).with_emitted(clock())
        if level > 1:
            recorder.record(trace)
        if level > 2:
            store.keep(trace)


def _differences(runs: Mapping[str, Sequence[float]], less: str, more: str) -> tuple[float, ...]:
    return tuple(b - a for a, b in zip(runs[less], runs[more], strict=True))


def _run(side: str, arguments: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "tools.bench_measuring", "--side", side, "--frames", str(arguments.frames)]
    command += ["--seconds", str(arguments.seconds)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=600, check=False)
    if done.returncode:
        raise JobError(f"{side}: ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return float(json.loads(done.stdout))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit code 1 if the promise is missed")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=20_000, help="of a side in a round (default: %(default)s)")
    parser.add_argument("--fps", type=float, default=30.0, help="shares the watch's cost (default: %(default)g)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of the watch in a round (default: %(default)g)")
    parser.add_argument("--side", choices=(*PARTS, WATCH), help=argparse.SUPPRESS)  # for the processes
    arguments = parser.parse_args(argv)
    if min(arguments.rounds, arguments.frames, arguments.fps, arguments.seconds) <= 0:
        parser.error("got a number that is not above 0, expected --rounds, --frames, --fps and --seconds to be")
    if arguments.check and arguments.rounds < 5:
        parser.error(f"--check: got {arguments.rounds} rounds, expected at least 5")
    return arguments


if __name__ == "__main__":
    sys.exit(main())

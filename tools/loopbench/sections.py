"""The four comparisons: each measures in rounds, prints its figures and returns what of the promises they prove."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tools.loopbench.camera import FPS, Camera
from tools.loopbench.clip import numbered_jpegs
from tools.loopbench.figures import Promise, Spread, percentile, ratios
from tools.loopbench.job import Job, Run, run_job
from tools.loopbench.marks import cores

__all__ = ["Bench"]

_PARTS = ("decoding", "preprocessing", "cheapest inference", "emission")
_AT_ONCE = 2
_LIVE_WARMUP_NS = 2_000_000_000
_BUSY = 0.05
_SHARE = 0.95


@dataclass(frozen=True)
class Bench:
    """What all comparisons share."""

    job: Job
    """Bundle, clip and output; the sides are filled in."""
    peers: tuple[str, ...]
    """Sides of other projects that are installed."""
    rounds: int
    seconds: float
    """How long a measurement of one side takes, about."""
    most_frames: int
    """Frames of the clip that may be measured."""

    def device(self, device_ms: float) -> list[Promise]:
        """Compare the loops with the stand-in for a GPU."""
        name = f"stand-in of {device_ms:g} ms"
        frames = self._frames(device_ms)
        runs = self._alternate(["inference", "ours", "plain", *self.peers], device_ms, frames)
        print(f"\n{name}, from the file; {frames} frames in {self.rounds} rounds")
        _print_sides(runs)
        late_us = [late for run in runs["inference"] for late in run.late_us]
        if late_us:
            p50, p99 = percentile(late_us, 50), percentile(late_us, 99)
            print(f"  the stand-in's sleeps ended {p50:.0f} us late (p50), {p99:.0f} us (p99); its timetable is exact")
        share = _ratio(runs, "inference", "ours")
        return [Promise(f"{name}: our rate / inference alone", share, at_least=_SHARE), *self._ahead(name, runs)]

    def cpu(self) -> list[Promise]:
        """Compare the loops with ONNX Runtime on the processors that also decode."""
        name, count = "ONNX Runtime", cores()
        # By processor time, which a busy machine does not stretch.
        frames = self._frames(run_job(replace(self.job, side="inference", frames=20)).cpu_ms / count)
        parts = [part for part in _PARTS if part not in _NAMES]
        sides = ["inference", "cheapest inference", "ours", "plain", *self.peers, *parts]
        runs = self._alternate(sides, None, frames)
        print(f"\n{name} on {count} processors, from the file; {frames} frames in {self.rounds} rounds")
        _print_sides({side: runs[side] for side in sides if side in _NAMES})
        parts_ms = {part: statistics.median(run.cpu_ms for run in runs[part]) for part in _PARTS}
        print("  processor time a frame, each alone: " + ", ".join(f"{p} {ms:.2f} ms" for p, ms in parts_ms.items()))
        bounds_ms = [sum(runs[part][index].cpu_ms for part in _PARTS) / count for index in range(self.rounds)]
        fps = Spread(tuple(1000 / ms for ms in bounds_ms))
        print(f"  so that {count} processors that are never idle allow {fps.text('.1f')} frames/s")
        wall_ms = [run.wall_ms * (1 - run.others / count if _busy(runs) else 1) for run in runs["ours"]]
        share = ratios(bounds_ms, wall_ms)
        ours_ms, plain_ms = ([run.cpu_ms for run in runs[side]] for side in ("ours", "plain"))
        allowed = ratios([ms / count for ms in ours_ms], wall_ms)
        return [
            Promise(f"{name}: our rate / what the processor time of all parts allows", share, at_least=_SHARE),
            Promise(f"{name}: our rate / what the processor time of our frames allows", allowed, at_least=_SHARE),
            # Or processor time could be wasted, and count as used.
            Promise(f"{name}: our processor time a frame / the plain loop's", ratios(ours_ms, plain_ms), at_most=1),
            *self._ahead(name, runs),
        ]

    def live(self, device_ms: float, seconds: float) -> list[Promise]:
        """Compare the ages of the frames from a camera."""
        sides = ["ours", "plain", *(["vidgear"] if "vidgear" in self.peers else [])]
        with Camera(numbered_jpegs()) as camera:
            job = replace(self.job, source=camera.url, device_ms=device_ms, seconds=seconds)
            runs: dict[str, list[Run]] = {side: [] for side in sides}
            for index in range(self.rounds):
                for side in _turn(sides, index):
                    runs[side].append(run_job(replace(job, side=f"live_{side}")))
            print(
                f"\na camera of {FPS} frames/s (MJPEG over HTTP), stand-in of {device_ms:g} ms; age when the result is "
                f"out, in ms;\n{seconds:g} s in {self.rounds} rounds, the first {_LIVE_WARMUP_NS / 1e9:g} s left out"
            )
            p99 = {side: _print_ages(side, runs[side], camera) for side in sides}
        bound_ms = 2000 / FPS + device_ms
        name = f"camera, stand-in of {device_ms:g} ms"
        return [Promise(f"{name}: our age, p99", p99["ours"], at_most=bound_ms, unit="ms (2 periods + inference)")]

    def overhead(self) -> list[Promise]:
        """Say what the loop itself costs; promises nothing."""
        job = replace(self.job, device_ms=0.0, frames=min(3000, round(800 * self.seconds)))
        whole, bare = ([run_job(replace(job, side=side)) for _ in range(self.rounds)] for side in _OVERHEAD)
        cost = Spread(tuple(a.cpu_ms - b.cpu_ms for a, b in zip(whole, bare, strict=True)))
        alone, caller, gap = (
            Spread(tuple(values))
            for values in (
                [run.cpu_ms for run in bare],
                [run.caller_ms for run in whole],
                [run.wall_ms for run in whole],
            )
        )
        print("\nthe loop itself: frames that lie ready, a device that takes no time, nothing to write; a frame takes")
        print(f"  in a call of classify alone  {alone.text('.3f')} ms of processor time")
        print(f"  in the loop, on top of that  {cost.text('.3f')} ms of processor time")
        print(f"  on the caller's thread       {caller.text('.3f')} ms of processor time")
        print(f"  from one to the next         {gap.text('.3f')} ms")
        return []

    def _frames(self, wall_ms: float) -> int:
        return max(2, min(self.most_frames, round(1000 * self.seconds / wall_ms)))

    def _alternate(self, sides: Sequence[str], device_ms: float | None, frames: int) -> dict[str, list[Run]]:
        """Run all sides once a round, each round in another order."""
        runs: dict[str, list[Run]] = {side: [] for side in sides}
        for index in range(self.rounds):
            for side in _turn(sides, index):
                # As the command does it for files: two at once. The others call classify, for one after the other.
                at_once = _AT_ONCE if side in ("ours", "cheapest inference") else 1
                job = replace(self.job, side=side.split()[-1], device_ms=device_ms, at_once=at_once, frames=frames)
                runs[side].append(run_job(job))
        return runs

    def _ahead(self, name: str, runs: dict[str, list[Run]]) -> list[Promise]:
        return [
            Promise(f"{name}: our rate / {_NAMES[side]}", _ratio(runs, side, "ours"), at_least=1.0)
            for side in ("plain", *self.peers)
        ]


_OVERHEAD = ("overhead", "classifying")
_NAMES = {
    "inference": "inference alone",
    "cheapest inference": "same, two at once",
    "ours": "our loop",
    "plain": "plain loop",
    "vidgear": "vidgear's CamGear",
    "imutils": "imutils' FileVideoStream",
}


def _turn(sides: Sequence[str], index: int) -> list[str]:
    start = index % len(sides)
    turned = [*sides[start:], *sides[:start]]
    return turned[::-1] if index % 2 else turned


def _ratio(runs: dict[str, list[Run]], above: str, below: str) -> Spread:
    """Return rates as a ratio: the time of ``above`` by that of ``below``."""
    return ratios([run.wall_ms for run in runs[above]], [run.wall_ms for run in runs[below]])


def _print_sides(runs: dict[str, list[Run]]) -> None:
    for side, values in runs.items():
        fps = Spread(tuple(1000 / run.wall_ms for run in values))
        cpu = Spread(tuple(run.cpu_ms for run in values))
        print(f"  {_NAMES[side]:24} {fps.text('.1f'):>24} frames/s   {cpu.text():>22} ms of processor time a frame")
    if _busy(runs):
        print(f"  NOT AN IDLE MACHINE: other processes kept {_others(runs).text()} processors busy")


def _others(runs: dict[str, list[Run]]) -> Spread:
    return Spread(tuple(run.others for values in runs.values() for run in values))


def _busy(runs: dict[str, list[Run]]) -> bool:
    return _others(runs).median > _BUSY


def _print_ages(side: str, runs: Sequence[Run], camera: Camera) -> Spread:
    ages = []
    for run in runs:
        begin_ns = run.emitted[0][1] + _LIVE_WARMUP_NS if run.emitted else 0
        ages.append([camera.age_ms(*emitted) for emitted in run.emitted if emitted[1] >= begin_ns])
    p50, p99, last = (Spread(tuple(values)) for values in zip(*map(_age_figures, ages), strict=True))
    print(
        f"  {_NAMES[side]:24} p50 {p50.text('.1f'):>24}   p99 {p99.text('.1f'):>24}   at the end {last.text('.0f'):>20}"
        f"   {statistics.median(map(len, ages)):.0f} frames"
    )
    return p99


def _age_figures(ages: Sequence[float]) -> tuple[float, float, float]:
    if not ages:
        raise RuntimeError("live: got no frame after the warm-up, expected some; measure for longer")
    return percentile(ages, 50), percentile(ages, 99), ages[-1]

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.summary import RunTimes
from googlenet_edge.latency.watch import sampler as sampler_module
from googlenet_edge.latency.watch.run import RunWatch, WatchConfig
from googlenet_edge.latency.watch.sampler import SamplerConfig

S = 1_000_000_000
SELDOM = SamplerConfig(interval_s=30)
"""So that the thread looks at the start and the end alone, however slow the machine that runs this is."""


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_run_is_told_from_its_start_to_its_end(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    open_before = descriptors()
    with RunWatch(WatchConfig(idle_s=0.05, sampler=SELDOM), root=root) as watch:
        watch.start()
        (root / "sys/class/hwmon/hwmon1/curr1_input").write_text("3000\n")
        (root / "sys/class/hwmon/hwmon3/oc2_event_cnt").write_text("5\n")
        watch.end()
        assert not any(thread.name == "machine-sampler" for thread in threading.enumerate())
    assert descriptors() == open_before
    energy = watch.energy()
    document = json.loads(json.dumps(watch.document(None, 10), allow_nan=False))
    assert document["state"]["before"]["power_mode"] == "MAXN_SUPER (2)"
    assert document["state"]["after"]["power_mode"] == "MAXN_SUPER (2)"
    assert "machine" not in document["state"]["before"], "what the machine is stands once, beside its states"
    assert watch.machine.board == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert [one["what"] for one in document["state"]["differences"]] == ["average current too high"]
    assert [one["cause"] for one in document["watch"]["throttled"]] == ["average current too high"]
    assert document["energy"]["idle_watts"] == pytest.approx(4984 * 1856 / 1e6)
    # One reading before the current rose and one after: the mean of the two.
    assert document["energy"]["watts"] == pytest.approx(4984 * (1856 + 3000) / 2e6, rel=1e-6)
    assert document["energy"]["joules_per_frame"] == pytest.approx((energy.joules or 0) / 10, abs=1e-6)


class Ticks:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = 100 * S

    def __call__(self) -> int:
        return self.now_ns


def test_times_are_those_of_the_run_and_energy_that_of_the_measured_frames(machine: Callable[[str], Path]) -> None:
    root, clock = machine("orin-nano"), Ticks()
    current = root / "sys/class/hwmon/hwmon1/curr1_input"
    with RunWatch(WatchConfig(sampler=SELDOM), root=root, clock=clock) as watch:
        watch.start()  # at 100 s
        sampler = watch._sampler
        assert sampler is not None
        for at_s, milliamperes in ((104, 1856), (106, 3000), (108, 3000)):
            clock.now_ns = at_s * S
            current.write_text(f"{milliamperes}\n")
            sampler.look()
        clock.now_ns = 110 * S
        watch.end()
    times = RunTimes(started_ns=102 * S, measured_from_ns=104 * S, measured_to_ns=108 * S, frames=20)
    document = watch.document(times, 20)
    assert isinstance(record := document["watch"], dict)
    assert isinstance(energy := document["energy"], dict)
    assert record["started_s"] == -2.0
    assert (energy["from_s"], energy["seconds"], energy["frames"]) == (2.0, 4.0, 20)
    # 4.984 V; the current rises from 1.856 A to 3 A in the first half, and stays in the second.
    joules = 4.984 * (2 * (1.856 + 3.0) / 2 + 2 * 3.0)
    assert energy["joules"] == pytest.approx(joules, abs=1e-5)
    assert energy["joules_per_frame"] == pytest.approx(joules / 20, abs=1e-6)
    assert watch.document(None, 0)["energy"]["joules_per_frame"] is None  # type: ignore[index]


def test_this_machine_can_be_watched() -> None:
    with RunWatch() as watch:
        assert json.loads(json.dumps(watch.begun()))["state"]["after"] is None
        watch.start()
    text = json.dumps(watch.document(None, 1), allow_nan=False)
    assert "not_measured" in text
    assert watch.record.looks >= 2


def test_a_run_that_fails_leaves_nothing_open(machine: Callable[[str], Path]) -> None:
    root = machine("thor")
    open_before = descriptors()

    def run() -> None:
        with RunWatch(root=root) as watch:
            watch.start()
            raise RuntimeError("the run failed")

    with pytest.raises(RuntimeError, match="the run failed"):
        run()
    assert descriptors() == open_before
    assert not any(thread.name == "machine-sampler" for thread in threading.enumerate())


def test_a_run_that_cannot_begin_leaves_nothing_open(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    root = machine("orin-nano")
    open_before = descriptors()
    monkeypatch.setattr("googlenet_edge.latency.watch.run.machine_state", fail)
    with pytest.raises(KeyboardInterrupt), RunWatch(root=root):
        pass
    assert descriptors() == open_before


def hold(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> tuple[threading.Event, threading.Event]:
    """Make a function hang when it is called; return what says that it does, and what lets it go on."""
    entered, released = threading.Event(), threading.Event()
    real = getattr(where, name)

    def hang(*arguments: object, **named: object) -> object:
        entered.set()
        released.wait(20)
        return real(*arguments, **named)

    monkeypatch.setattr(where, name, hang)
    return entered, released


def test_a_driver_that_hangs_does_not_hang_the_run(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = list[object]()
    monkeypatch.setattr(sampler_module, "JOIN_S", 0.05)
    with RunWatch(root=machine("orin-nano")) as watch:
        watch.start()
        assert watch._sampler is not None
        assert watch._instruments is not None
        probe = watch._instruments.probes[0]
        monkeypatch.setattr(probe, "close", lambda: closed.append(probe))
        entered, released = hold(monkeypatch, probe, "look")
        assert entered.wait(20)
    assert watch.record.error == "a look at the machine did not return within 0.05 s"
    assert watch.document(None, 0)["state"]["after"] is None  # type: ignore[index]
    assert watch._sampler.hung
    assert closed == []  # the thread may still read it
    released.set()
    thread = watch._sampler._thread
    assert thread is not None
    thread.join(20)
    assert not watch._sampler.hung
    watch._instruments.close()


def test_a_last_look_that_hangs_does_not_hang_the_run(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler_module, "JOIN_S", 0.05)
    with RunWatch(root=machine("orin-nano")) as watch:
        watch.start()
        _, released = hold(monkeypatch, watch, "_look")
        watch.end()
        assert watch.after is None
        assert "did not return" in str(watch.record.error)
        released.set()
        assert watch._sampler is not None
        assert watch._sampler._thread is not None
        watch._sampler._thread.join(20)


def test_nothing_is_said_before_the_end() -> None:
    watch = RunWatch(WatchConfig(power=False))
    with pytest.raises(InputError, match="not started"):
        _ = watch.record
    with pytest.raises(InputError, match="outside its context"):
        watch.start()
    with watch:
        assert watch.after is None
        watch.start()
        with pytest.raises(InputError, match="second one"):
            watch.start()
    assert watch.after is not None


def test_idle_power_is_not_waited_for_where_there_is_no_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # NVML would measure, whatever the root
    with RunWatch(WatchConfig(idle_s=600), root=tmp_path) as watch:
        pass
    assert watch.idle is None


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_an_idle_time_that_cannot_be_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="expected 0 or more"):
        WatchConfig(idle_s=seconds)


def test_idle_power_needs_power() -> None:
    with pytest.raises(InputError, match="expected one of the two"):
        WatchConfig(idle_s=1.0, power=False)

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch import sampler as sampler_module
from googlenet_edge.latency.watch.run import RunWatch, WatchConfig


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_run_is_told_from_its_start_to_its_end(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    open_before = descriptors()
    with RunWatch(WatchConfig(idle_s=0.05), root=root) as watch:
        (root / "sys/class/hwmon/hwmon1/curr1_input").write_text("3000\n")
        (root / "sys/class/hwmon/hwmon3/oc2_event_cnt").write_text("5\n")
    assert descriptors() == open_before
    assert not any(thread.name == "machine-sampler" for thread in threading.enumerate())
    energy = watch.energy()
    document = json.loads(json.dumps(watch.document(energy, 10), allow_nan=False))
    assert document["state"]["before"]["power_mode"] == "MAXN_SUPER (2)"
    assert [one["what"] for one in document["state"]["differences"]] == ["average current too high"]
    assert [one["cause"] for one in document["watch"]["throttled"]] == ["average current too high"]
    assert document["energy"]["idle_watts"] == pytest.approx(4984 * 1856 / 1e6)
    # One reading before the current rose and one after: the mean of the two.
    assert document["energy"]["watts"] == pytest.approx(4984 * (1856 + 3000) / 2e6, rel=1e-6)
    assert document["energy"]["joules_per_frame"] == pytest.approx((energy.joules or 0) / 10, abs=1e-6)
    notes = "\n".join(watch.notes(energy, 10))
    assert "slowed down during the run: average current too high: 0 times -> 5 times" in notes
    assert "J per frame, of 10 frames" in notes


def test_this_machine_can_be_watched() -> None:
    with RunWatch() as watch:
        pass
    text = json.dumps(watch.document(watch.energy(), 1), allow_nan=False)
    assert "not_measured" in text
    assert watch.notes(watch.energy(), 1)


def test_a_run_that_fails_leaves_nothing_open(machine: Callable[[str], Path]) -> None:
    root = machine("thor")
    open_before = descriptors()
    with pytest.raises(RuntimeError, match="the run failed"), RunWatch(root=root):
        raise RuntimeError("the run failed")
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


def test_a_driver_that_hangs_does_not_hang_the_run(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    released, entered, closed = threading.Event(), threading.Event(), list[object]()
    monkeypatch.setattr(sampler_module, "JOIN_S", 0.05)
    with RunWatch(root=machine("orin-nano")) as watch:
        assert watch._sampler is not None
        assert watch._instruments is not None
        probe = watch._instruments.probes[0]

        def hang() -> object:
            entered.set()
            released.wait(20)
            return seen

        seen = probe.look()
        monkeypatch.setattr(probe, "look", hang)
        monkeypatch.setattr(probe, "close", lambda: closed.append(probe))
        assert entered.wait(20)
    assert watch.record.error == "a look at the machine did not return within 0.05 s"
    assert watch._sampler.hung
    assert closed == []  # the thread may still read it
    released.set()
    thread = watch._sampler._thread
    assert thread is not None
    thread.join(20)
    assert not watch._sampler.hung
    watch._instruments.close()


def test_nothing_is_said_before_the_end() -> None:
    watch = RunWatch(WatchConfig(power=False))
    with pytest.raises(InputError, match="not started"):
        _ = watch.record
    with watch, pytest.raises(InputError, match="has not ended yet"):
        _ = watch.after
    assert watch.after.machine.cpu == watch.before.machine.cpu


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_an_idle_time_that_cannot_be_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="expected 0 or more"):
        WatchConfig(idle_s=seconds)

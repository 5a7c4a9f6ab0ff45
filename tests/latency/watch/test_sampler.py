from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.instruments import Instruments, open_instruments
from googlenet_edge.latency.watch.sampler import MachineSampler, SamplerConfig, watch_idle
from googlenet_edge.latency.watch.sensors.rail import Channel, Look, Rail
from googlenet_edge.latency.watch.timeline import Episode

S = 1_000_000_000


@dataclass
class Probe:
    """Says what it is told to, and notes when it was looked at."""

    seen: Callable[[int], Look]
    channels: Sequence[Channel] = (Channel("tj-thermal", "C"),)
    looks: int = 0
    looked: threading.Event = field(default_factory=threading.Event)

    def look(self) -> Look:
        self.looks += 1
        if self.looks >= 3:
            self.looked.set()
        return self.seen(self.looks)

    def close(self) -> None: ...


@dataclass
class Meter:
    watts: float = 4.0
    rails: Sequence[Rail] = (Rail("VDD_IN", "ina3221", "power", "module", counted=True),)

    def read(self) -> list[int | None]:
        return [int(1e6 * self.watts)]

    def close(self) -> None: ...


class Ticks:
    """A clock that goes on by one second with each call."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += S
        return self.now_ns


def test_looks_become_a_timeline_episodes_and_energy() -> None:
    probe = Probe(lambda look: Look([50.0 + look], ["heat: cpu"] if look in (3, 4) else []))
    sampler = MachineSampler(Instruments([probe], [Meter()], []), clock=Ticks())
    sampler.start()
    for _ in range(4):
        sampler.look()
    sampler.stop()
    record = sampler.record()
    # The fake clock is read twice a look: at 1, 4, 6, ... seconds for the probes, and a second later for the meter.
    assert [span.highest[0] for span in record.spans] == [51.0, 52.0, 53.0, 54.0, 55.0, 56.0]
    assert record.episodes == (Episode("heat: cpu", 4 * S, 10 * S, looks=2),)
    assert (record.started_ns, record.ended_ns, record.looks) == (3 * S, 12 * S, 6)
    assert record.energy.watts == pytest.approx(4.0)
    assert record.energy.joules == pytest.approx(4.0 * 9)
    assert record.error is None


def test_a_thread_looks_while_the_run_goes_on_and_ends_with_it() -> None:
    probe = Probe(lambda look: Look([float(look)]))
    with MachineSampler(Instruments([probe], [Meter()], [])) as sampler:
        assert probe.looked.wait(20), "the thread did not look twice"
        assert any(thread.name == "machine-sampler" for thread in threading.enumerate())
    assert not any(thread.name == "machine-sampler" for thread in threading.enumerate())
    looks = probe.looks
    record = sampler.record()
    assert record.looks == looks >= 4  # one at the start, two or more by the thread, one at the end
    assert record.energy.joules == pytest.approx(4.0 * record.energy.seconds)


def test_stopping_does_not_wait_for_the_next_look() -> None:
    sampler = MachineSampler(Instruments([], [], []), SamplerConfig(interval_s=30))
    sampler.start()
    before = time.monotonic()
    sampler.stop()
    sampler.stop()
    assert time.monotonic() - before < 5


def test_even_a_short_run_has_energy() -> None:
    sampler = MachineSampler(Instruments([], [Meter(watts=10.0)], []))
    sampler.start()
    sampler.stop()
    assert sampler.record().energy.watts == pytest.approx(10.0)


def test_energy_of_the_measured_frames_alone_can_be_asked() -> None:
    meter = Meter(watts=2.0)
    sampler = MachineSampler(Instruments([], [meter], []), clock=Ticks())
    sampler.start()
    meter.watts = 6.0
    sampler.look()
    sampler.look()
    sampler.stop()
    # The meter was read at 2, 5, 7 and 10 seconds: 2, 6, 6, 6 watts.
    assert sampler.energy(5 * S, 10 * S).joules == pytest.approx(30.0)
    assert sampler.energy(2 * S, 10 * S).joules == pytest.approx(12.0 + 30.0)


def test_a_sensor_that_fails_ends_the_looking_and_not_the_run() -> None:
    def fail(look: int) -> Look:
        if look == 2:
            raise ValueError("sensor on fire")
        return Look([1.0])

    probe = Probe(fail)
    with MachineSampler(Instruments([probe], [], [])) as sampler:
        end = time.monotonic() + 20
        while probe.looks < 2 and time.monotonic() < end:
            time.sleep(0.01)
    record = sampler.record()
    assert record.error == "ValueError: sensor on fire"
    assert record.looks == 1


def test_looks_that_are_dear_become_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    # A look that takes 3 ms of a core, and 1 ms to fall asleep and wake up, may come every 20 s.
    waits: list[float] = []
    cpu_ns = 0

    def spend(milliseconds: int) -> None:
        nonlocal cpu_ns
        cpu_ns += milliseconds * 1_000_000

    def wait(seconds: float | None = None) -> bool:
        waits.append(seconds or 0.0)
        spend(1)
        return len(waits) > 2

    sampler = MachineSampler(Instruments([], [], []), clock=Ticks())
    monkeypatch.setattr("googlenet_edge.latency.watch.sampler.time.thread_time_ns", lambda: cpu_ns)
    monkeypatch.setattr(sampler._stop, "wait", wait)
    monkeypatch.setattr(sampler, "look", lambda: spend(3))
    sampler._run()
    assert waits == pytest.approx([1.0, 20.0, 20.0])


def test_looking_costs_less_than_a_thousandth_of_a_core(machine: Callable[[str], Path]) -> None:
    with open_instruments(machine("thor")) as instruments:
        sampler = MachineSampler(instruments)
        sampler.look()  # opens the files
        before = time.thread_time()
        for _ in range(20):
            sampler.look()
        assert (time.thread_time() - before) / 20 < 0.001  # seconds, at one look a second


@pytest.mark.parametrize("interval", [0.5, 31.0, float("nan")])
def test_an_interval_that_cannot_be_is_refused(interval: float) -> None:
    with pytest.raises(InputError, match="expected 1 to 30"):
        SamplerConfig(interval_s=interval)


def test_misuse_is_refused() -> None:
    sampler = MachineSampler(Instruments([], [], []))
    with pytest.raises(InputError, match=r"expected stop\(\) before record"):
        sampler.record()
    with sampler, pytest.raises(InputError, match="started before"):
        sampler.start()


def test_idle_power_is_measured_before_the_run() -> None:
    idle = watch_idle(Instruments([], [Meter(watts=3.0)], []), 0.05)
    assert idle.watts == pytest.approx(3.0)
    assert idle.seconds >= 0.05
    with pytest.raises(InputError, match="expected more than 0"):
        watch_idle(Instruments([], [], []), 0)


def test_what_is_to_be_done_at_the_end_is_done_after_the_last_look_and_on_the_thread() -> None:
    probe, done = Probe(lambda look: Look([float(look)])), list[tuple[int, str]]()
    sampler = MachineSampler(
        Instruments([probe], [], []), at_end=lambda: done.append((probe.looks, threading.current_thread().name))
    )
    sampler.start()
    sampler.stop()
    assert done == [(2, "machine-sampler")]


def test_a_sensor_that_fails_from_the_start_does_not_keep_a_run_from_its_end() -> None:
    def fail(look: int) -> Look:
        raise ValueError(f"no answer {look}")

    probe, done = Probe(fail), list[int]()
    with MachineSampler(Instruments([probe], [], []), at_end=lambda: done.append(1)) as sampler:
        pass
    assert (sampler.record().error, probe.looks, done) == ("ValueError: no answer 1", 1, [1])


def test_a_board_is_watched_from_its_files(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    with open_instruments(root) as instruments, MachineSampler(instruments, clock=Ticks()) as sampler:
        sampler.look()
        (root / "sys/class/thermal/cooling_device5/cur_state").write_text("2\n")
        (root / "sys/class/hwmon/hwmon3/oc1_event_cnt").write_text("4\n")
        sampler.look()
    record = sampler.record()
    assert [channel.name for channel in record.channels] == [
        "cpu0", "cpu4", "gpu 17000000.gpu", "cpu-thermal", "gpu-thermal", "cv0-thermal", "tj-thermal",
    ]  # fmt: skip
    assert {one.cause for one in record.episodes} == {"supply's voltage too low", "heat: cpu-throttle-alert"}
    assert record.energy.included == ("VDD_IN",)
    assert record.energy.watts == pytest.approx(4984 * 1856 / 1e6)
    assert record.unreadable == ()

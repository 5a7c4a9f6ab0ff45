"""Which frames are computed, dropped and emitted, for any arrival of frames: the loop's threads in made-up time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.stream import StreamConfig
from googlenet_edge.types import Frame
from tests.stream.simulation import IMAGE, Pending, Plan, Simulation

plans = st.lists(
    st.builds(
        Plan,
        period_ms=st.integers(3, 60),
        offset_ms=st.integers(0, 50),
        frames=st.integers(1, 25),
        live=st.booleans(),
    ),
    min_size=1,
    max_size=5,
)
simulations = st.builds(
    Simulation,
    plans=plans,
    inference_ms=st.integers(1, 150),
    sink_ms=st.sampled_from([0, 0, 1, 20, 90]),
    slots=st.integers(1, 3),
    max_batch=st.integers(1, 6),
    config=st.builds(StreamConfig, batch_wait_ms=st.sampled_from([0, 2, 10])),
)


def of(simulation: Simulation, camera: int) -> list[int]:
    return [sequence for index, sequence, _ in simulation.emitted if index == camera]


@settings(max_examples=100, deadline=None)
@given(simulations)
def test_nothing_is_lost_or_doubled_and_each_camera_keeps_its_order(simulation: Simulation) -> None:
    simulation.run()
    for camera, plan in enumerate(simulation.plans):
        seen = of(simulation, camera)
        assert simulation.taken(camera) == plan.frames
        assert seen == sorted(set(seen))
        if plan.live:
            assert seen, "the newest frame comes out in the end"
            assert seen[-1] == plan.frames - 1
        else:
            assert seen == list(range(plan.frames))
    bound = min(simulation.max_batch, len(simulation.plans))
    assert all(len(set(batch)) == len(batch) <= bound for batch in simulation.batches)


@settings(max_examples=100, deadline=None)
@given(simulations)
def test_no_live_frame_is_older_than_two_periods_when_its_computation_begins(simulation: Simulation) -> None:
    simulation.run()
    for camera, sequence, age_ms in simulation.ages_at_begin:
        plan = simulation.plans[camera]
        if plan.delivers_until_ms(sequence, age_ms):
            assert age_ms <= 2 * plan.period_ms


@settings(max_examples=100, deadline=None)
@given(simulations)
def test_a_result_is_no_older_than_two_periods_and_an_inference_when_the_sinks_take_it(simulation: Simulation) -> None:
    simulation.run()
    for camera, sequence, age_ms in simulation.emitted:
        plan = simulation.plans[camera]
        if plan.delivers_until_ms(sequence, age_ms) and (len(simulation.plans) == 1 or not simulation.sink_ms):
            assert age_ms <= 2 * plan.period_ms + simulation.inference_ms


@settings(max_examples=100, deadline=None)
@given(plans, st.integers(1, 40), st.integers(1, 3))
def test_the_frame_limit_is_kept_and_no_frame_of_a_file_is_taken_in_vain(
    plans: list[Plan], most: int, slots: int
) -> None:
    files = [Plan(plan.period_ms, plan.offset_ms, plan.frames, live=False) for plan in plans]
    simulation = Simulation(files, inference_ms=7, slots=slots, config=StreamConfig(max_frames=most))
    simulation.run_until_limit()
    assert len(simulation.emitted) == sum(simulation.taken(camera) for camera in range(len(files)))
    assert len(simulation.emitted) == min(most, sum(plan.frames for plan in files))


@pytest.mark.parametrize("slots", [1, 2])
def test_cameras_of_one_rate_are_served_alike_when_a_batch_takes_only_some_of_them(slots: int) -> None:
    cameras = [Plan(33, offset_ms=7 * i, frames=300) for i in range(5)]
    simulation = Simulation(cameras, inference_ms=40, slots=slots, max_batch=2)
    simulation.run()
    served = [len(of(simulation, camera)) for camera in range(5)]
    assert max(served) - min(served) <= 2
    assert sum(served) >= 0.95 * 2 * (300 * 33) / 40, "the device is busy, with full batches"


def test_a_slow_camera_beside_fast_ones_loses_no_frame() -> None:
    simulation = Simulation([Plan(33, frames=240), Plan(33, 11, frames=240), Plan(200, 5, frames=40)], inference_ms=25)
    simulation.run()
    assert of(simulation, 2) == list(range(40))
    assert len(of(simulation, 0)) >= 0.95 * 240


@pytest.mark.parametrize("sink_ms", [0, 5, 20])
def test_frames_that_wait_together_are_one_batch(sink_ms: int) -> None:
    simulation = Simulation([Plan(33, 9 * i, frames=90) for i in range(4)], inference_ms=100, sink_ms=sink_ms)
    simulation.run()
    full = [batch for batch in simulation.batches if len(batch) == 4]
    assert len(full) >= 0.8 * len(simulation.batches)
    assert min(len(of(simulation, camera)) for camera in range(4)) >= 90 * 33 / 100 - 3, "sinks have time for all"


def test_a_batch_that_waits_for_the_device_is_not_made_anew_at_each_frame() -> None:
    simulation = Simulation([Plan(33, 8 * i, frames=90) for i in range(4)], inference_ms=100)
    simulation.run()
    assert simulation.prepared <= 1.5 * 90 + 4 * len(simulation.batches)


def test_cameras_that_deliver_nearly_together_are_computed_together_on_an_idle_device() -> None:
    pair = [Plan(33, frames=60), Plan(33, 1, frames=60)]
    waiting = Simulation(pair, inference_ms=4, config=StreamConfig(batch_wait_ms=2))
    at_once = Simulation(pair, inference_ms=4, config=StreamConfig(batch_wait_ms=0))
    waiting.run()
    at_once.run()
    assert sum(len(batch) == 2 for batch in waiting.batches) >= 55
    assert sum(len(batch) == 2 for batch in at_once.batches) <= 1
    assert max(age_ms for _, _, age_ms in waiting.emitted) <= 2 + 4 + 4


def test_a_frame_does_not_wait_for_one_that_is_not_due_yet() -> None:
    simulation = Simulation([Plan(33, frames=60), Plan(33, 16, frames=60)], inference_ms=4)
    simulation.run()
    assert {age_ms for _, _, age_ms in simulation.emitted} == {4}


def test_a_camera_that_stops_delivering_is_not_waited_for_more_than_once() -> None:
    simulation = Simulation([Plan(33, frames=200), Plan(33, 1, frames=20)], inference_ms=4)
    simulation.never_ends = {1}
    simulation.run()
    late = [age_ms for camera, sequence, age_ms in simulation.emitted if camera == 0 and sequence >= 22]
    assert len(late) == 178
    assert set(late) == {4}


@pytest.mark.parametrize(("slots", "decoded"), [(1, 3), (2, 4), (3, 4), (4, 4), (6, 6)])
def test_of_a_file_no_more_is_decoded_ahead_than_keeps_the_device_busy(slots: int, decoded: int) -> None:
    simulation = Simulation([Plan(1, live=False)], inference_ms=1, slots=slots, never_ends={0})
    traffic = simulation.traffic
    (lane,) = traffic.lanes
    taken = 0
    while traffic.wants(lane):
        traffic.arrived(lane, Frame(IMAGE, taken, 0))
        taken += 1
        while (slots > 1 or not lane.under_way) and (entries := traffic.due()[0]):
            traffic.submitted(entries, Pending(simulation, entries, hold=False), hold=False)
    assert taken == decoded

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.compare import CompareConfig, Compared, Comparison, compare_each, compare_runs
from googlenet_edge.latency.comparison.document import comparison_document
from googlenet_edge.latency.comparison.figures import FPS, Figure
from googlenet_edge.latency.comparison.judge import Limit, judge, offences
from googlenet_edge.latency.comparison.read import Run, read_run

Writer = Callable[..., Path]
Steady = Callable[..., npt.NDArray[np.int64]]
P50 = Figure("inference", 50)
INFERENCE = CompareConfig(stages=("inference",))


@pytest.fixture
def make_run(write_run: Writer, steady: Steady) -> Callable[..., Run]:
    def make(seed: int, factor: float = 1.0, *, frames: int = 800, **facts: Any) -> Run:
        return read_run(write_run(f"r{seed}", steady(seed, frames, factor=factor), **facts))

    return make


def of(comparison: Comparison, figure: Figure = P50) -> Compared:
    return next(one for one in comparison.figures if one.figure == figure)


def test_a_slower_run_is_called_slower_and_its_frame_rate_too(make_run: Callable[..., Run]) -> None:
    comparison = compare_runs([make_run(1)], [make_run(2, 1.05)], CompareConfig())
    assert comparison.method == "samples"
    for figure in (P50, Figure("capture_to_emitted", 90), FPS):
        assert of(comparison, figure).verdict == "slower"
    latency, rate = of(comparison), of(comparison, FPS)
    assert latency.ratio == pytest.approx(1.05, abs=0.005)
    assert latency.interval is not None
    assert rate.interval is not None
    assert 1 < latency.interval[0] < 1.05 < latency.interval[1] < 1.06
    assert rate.interval[1] < 1
    assert rate.slowdown == pytest.approx((1 / rate.interval[1], 1 / rate.interval[0]))
    back = compare_runs(comparison.new, comparison.baseline, CompareConfig())
    assert {of(back).verdict, of(back, FPS).verdict} == {"faster"}
    assert of(comparison, Figure("emit", 50)).verdict == "no difference shown", "it takes the same time always"
    assert not any(one.figure.stage == "wait" for one in comparison.figures)


def test_equal_runs_show_no_difference(make_run: Callable[..., Run]) -> None:
    comparison = compare_runs([make_run(1)], [make_run(2)], CompareConfig())
    assert {one.verdict for one in comparison.figures if one.interval} == {"no difference shown"}
    assert (comparison.warnings, comparison.expected, comparison.unexpected) == ((), (), ())


def test_the_same_comparison_gives_the_same_figures(make_run: Callable[..., Run]) -> None:
    runs = [make_run(1)], [make_run(2)]
    assert compare_runs(*runs, INFERENCE).figures == compare_runs(*runs, INFERENCE).figures


def test_without_samples_there_is_a_ratio_and_no_verdict(make_run: Callable[..., Run]) -> None:
    comparison = compare_runs([make_run(1)], [make_run(2, 1.5, samples=False)], CompareConfig())
    assert comparison.method == "none"
    assert of(comparison).ratio == pytest.approx(1.5, abs=0.01)
    assert (of(comparison).interval, of(comparison).verdict) == (None, None)
    assert "no raw samples" in comparison.warnings[0]
    with pytest.raises(InputError, match=r"none can be shown to be slower \(.*no raw samples.*--samples"):
        judge(comparison, Limit(0.05))


@pytest.mark.parametrize("frames", [1, 2, 39, 100])
def test_too_few_frames_give_no_verdict(make_run: Callable[..., Run], frames: int) -> None:
    comparison = compare_runs([make_run(1, frames=frames)], [make_run(2, 2.0, frames=frames)], INFERENCE)
    p99 = of(comparison, Figure("inference", 99))
    assert p99.ratio == pytest.approx(2, rel=0.1)
    assert (p99.interval, p99.verdict) == (None, None)
    assert "too few frames" in str(p99.no_verdict)
    assert (of(comparison).verdict == "slower") == (frames == 100)


def test_a_stage_that_takes_no_time_has_no_ratio(make_run: Callable[..., Run], write_run: Writer) -> None:
    zero = read_run(write_run("zero", np.zeros(800)))
    comparison = compare_runs([zero], [make_run(2)], CompareConfig())
    assert (of(comparison).ratio, of(comparison).interval) == (None, None)
    assert of(comparison).no_verdict == "0 has no ratio"
    assert of(comparison, FPS).verdict == "slower"


def test_a_percentile_at_the_edge_of_an_outlier_mode_is_not_decided(write_run: Writer) -> None:
    # 4.8 % outliers on one side and 5.2 % on the other: p95 is 70 ms or 2 ms by chance alone.
    def outliers(seed: int, count: int) -> npt.NDArray[np.int64]:
        random = np.random.default_rng(seed)
        values = 2e6 * np.exp(0.02 * random.standard_normal(1000))
        values[random.permutation(1000)[:count]] *= 35
        return np.rint(values).astype(np.int64)

    runs = [read_run(write_run(name, outliers(i, n))) for i, (name, n) in enumerate((("a", 48), ("b", 52)))]
    p95 = of(compare_runs(runs[:1], runs[1:], INFERENCE), Figure("inference", 95))
    assert p95.ratio is not None
    assert p95.ratio > 30
    assert p95.verdict == "no difference shown"


def test_three_runs_a_side_are_compared_by_how_runs_differ(make_run: Callable[..., Run]) -> None:
    def side(seed: int, factors: tuple[float, ...]) -> list[Run]:
        return [make_run(seed + i, factor, samples=False) for i, factor in enumerate(factors)]

    config = CompareConfig(stages=("inference",), percentiles=(50,))
    baseline = side(0, (1.0, 1.01, 0.99))
    comparison = compare_runs(baseline, side(10, (1.1, 1.09, 1.11)), config)
    assert (comparison.method, comparison.warnings) == ("runs", ())
    assert of(comparison).verdict == "slower"
    assert of(comparison).ratio == pytest.approx(1.1, abs=0.005)
    # Within the runs 4 % are plain to see; but starts differ by as much.
    unsure = side(20, (1.0, 1.04, 1.08))
    assert of(compare_runs(baseline, unsure, config)).verdict == "no difference shown"


def test_two_runs_a_side_rest_on_their_samples(make_run: Callable[..., Run]) -> None:
    config = INFERENCE
    one = compare_runs([make_run(1)], [make_run(3, 1.1)], config)
    two = compare_runs([make_run(1), make_run(2)], [make_run(3, 1.1), make_run(4, 1.1)], config)
    assert two.method == "samples"
    widths = [math.log(i[1] / i[0]) for c in (one, two) if (i := of(c).interval)]
    assert widths[1] == pytest.approx(widths[0] / math.sqrt(2), rel=0.2)


def test_unreliable_percentiles_of_runs_are_left_out(make_run: Callable[..., Run]) -> None:
    runs = [make_run(i, frames=100) for i in range(6)]
    comparison = compare_runs(runs[:3], runs[3:], CompareConfig())
    assert of(comparison).interval is not None
    assert "too few frames for this percentile" in str(of(comparison, Figure("inference", 99)).no_verdict)


def test_several_new_sides_share_the_confidence(make_run: Callable[..., Run]) -> None:
    config = INFERENCE
    alone = compare_runs([make_run(1)], [make_run(2)], config)
    both = compare_each([make_run(1)], [[make_run(2)], [make_run(3)]], config)
    assert [one.confidence for one in both] == [0.975, 0.975]
    intervals = of(alone).interval, of(both[0]).interval
    assert intervals[0] is not None
    assert intervals[1] is not None
    assert intervals[1][1] - intervals[1][0] > 1.05 * (intervals[0][1] - intervals[0][0])


def test_what_differs_is_told_apart_from_what_is_compared(make_run: Callable[..., Run]) -> None:
    other = make_run(2, classifier={"model": "tiny", "precision": "int8", "graph_sha256": "cd", "threads": "2"})
    comparison = compare_runs([make_run(1)], [other], CompareConfig(("inference",), expect=("precision", "cpu")))
    assert [one.name for one in comparison.expected] == ["classifier.precision", "classifier.graph_sha256"]
    assert [one.name for one in comparison.unexpected] == ["classifier.threads"]
    assert comparison.warnings == ("--expect cpu: nothing of that name differs; are these the right reports?",)


def test_doubts_about_the_machine_are_told(make_run: Callable[..., Run]) -> None:
    state: dict[str, Any] = {"before": {}, "after": None, "concerns": ["the machine was busy"]}
    comparison = compare_runs([make_run(1, state=state)], [make_run(2, state=state)], INFERENCE)
    assert comparison.warnings == ("all reports: the machine was busy",)


def test_a_limit_that_cannot_be_judged_says_why_and_not_what_else_is_doubtful(make_run: Callable[..., Run]) -> None:
    concerns = ["the machine was busy", "clocks are not locked", "the CPU quota is below the cores"]
    state: dict[str, Any] = {"before": {}, "after": None, "concerns": concerns}
    runs = [make_run(i, frames=20, state=state) for i in (1, 2)]
    with pytest.raises(InputError, match="too few frames: got 20") as caught:
        judge(compare_runs(runs[:1], runs[1:], INFERENCE), Limit(0.05))
    assert "busy" not in str(caught.value)


def test_a_limit_judges_nothing_on_another_machine(make_run: Callable[..., Run]) -> None:
    runs = [make_run(1)], [make_run(2, 1.5, machine={"cpu": "Another CPU"})]
    with pytest.raises(InputError, match=r"machine.cpu is not the same \(Some CPU and Another CPU\).*--expect cpu"):
        judge(compare_runs(*runs, INFERENCE), Limit(0.05))
    assert judge(compare_runs(*runs, CompareConfig(("inference",), expect=("cpu",))), Limit(0.05))


def test_percentiles_from_a_histogram_widen_the_intervals_of_runs(make_run: Callable[..., Run]) -> None:
    config = CompareConfig(("inference",), percentiles=(50,))
    exact = [make_run(i, samples=False) for i in range(6)]
    first, *others = exact
    coarse = make_run(0, samples=False, capacity=500)
    assert not coarse.report.exact
    coarse = replace(coarse, values=first.values)
    a = of(compare_runs(exact[:3], exact[3:], config)).interval
    b = of(compare_runs([coarse, *others[:2]], exact[3:], config)).interval
    assert a is not None
    assert b is not None
    assert (a[0] / b[0], b[1] / a[1]) == pytest.approx((1 + 2**-10, 1 + 2**-10), rel=1e-9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"percentiles": (75,)}, "got 75, expected some of 50, 90, 95, 99"),
        ({"percentiles": ()}, "got none"),
        ({"stages": ("wait",)}, "longer wait is not slower"),
        ({"confidence": 1.0}, "confidence: got 1.0"),
        ({"resamples": 10}, "got 10 resamples"),
    ],
)
def test_settings_are_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CompareConfig(**fields)


def test_stages_that_are_not_there_are_refused(make_run: Callable[..., Run]) -> None:
    with pytest.raises(InputError, match=r"got 'decode', expected some of .* queue, preprocess, inference, emit"):
        compare_runs([make_run(1)], [make_run(2)], CompareConfig(stages=("decode",)))


def test_a_limit_fails_only_what_is_shown_to_be_beyond_it(make_run: Callable[..., Run]) -> None:
    comparison = compare_runs([make_run(1)], [make_run(2, 1.05)], INFERENCE)
    assert {o.compared.figure.percent for o in judge(comparison, Limit(0.02))} >= {50, 90}
    assert all(o.shown for o in judge(comparison, Limit(0.02)))
    assert judge(comparison, Limit(0.05)) == (), "may be 5.5 %, but is not shown to be"
    unsure = judge(comparison, Limit(0.05, strict=True))
    assert {o.compared.figure.percent for o in unsure} >= {50, 90}
    assert not any(o.shown for o in unsure)
    assert judge(comparison, Limit(0.2, strict=True)) == ()
    assert judge(comparison, Limit(0.02, ignore_ns=1e6)) == (), "half a millisecond"
    assert judge(comparison, Limit(0.02, strict=True, ignore_ns=1e6)) == ()
    with pytest.raises(InputError, match="share and a time of 0 or more"):
        Limit(-0.1)


def test_a_frame_rate_is_judged_by_the_time_per_frame(make_run: Callable[..., Run]) -> None:
    comparison = compare_runs([make_run(1)], [make_run(2, 1.05)], CompareConfig())
    assert FPS in {offence.compared.figure for offence in judge(comparison, Limit(0.03))}
    assert judge(compare_runs(comparison.new, comparison.baseline, INFERENCE), Limit(0)) == ()


def test_a_strict_limit_fails_what_has_no_interval(make_run: Callable[..., Run]) -> None:
    comparison = compare_runs([make_run(1, frames=300)], [make_run(2, frames=300)], CompareConfig())
    assert judge(comparison, Limit(0.5)) == ()
    names = {offence.compared.figure.name for offence in judge(comparison, Limit(0.5, strict=True))}
    assert "inference p99" in names
    assert "queue p99" not in names, "20 microseconds do not count"


def test_the_document_has_all_figures(make_run: Callable[..., Run], write_run: Writer) -> None:
    comparison = compare_runs([make_run(1)], [make_run(2, 1.05, frames=300)], CompareConfig())
    limit = Limit(0.02)
    document = json.loads(
        json.dumps(comparison_document([comparison], limit, offences([comparison], limit)), allow_nan=False)
    )
    figures = {(one["stage"], one["figure"]): one for one in document["comparisons"][0]["figures"]}
    assert figures["inference", "p50"]["verdict"] == "slower"
    assert figures["inference", "p50"]["baseline"] == pytest.approx(10, abs=0.1)
    assert figures["inference", "p50"]["interval"][0] > 1
    assert figures["inference", "p99"]["verdict"] is None
    assert "too few" in figures["inference", "p99"]["no_verdict"]
    assert figures[None, "fps"]["unit"] == "frames/s"
    assert document["confidence"] == 0.95
    assert document["limit"]["failed"] is True
    assert {"figure": "inference p50", "shown": True} in document["limit"]["offences"]
    assert comparison_document([comparison])["limit"] is None

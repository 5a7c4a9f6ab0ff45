from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.latency.page.curve import percentile_curve, reliable_up_to
from googlenet_edge.latency.page.outliers import tracks
from googlenet_edge.latency.page.scales import WIDE, linear, nice_ticks, tail
from googlenet_edge.latency.report_file import read_report
from googlenet_edge.latency.subject import RUN
from googlenet_edge.latency.summary import minimum_samples, nearest_rank
from tests.latency.report_files import Run, steady, write_run


@given(st.integers(1, 3000), st.sampled_from([50, 90, 95, 99]))
def test_the_reliable_part_of_the_curve_ends_where_the_reports_percentiles_do(samples: int, percent: int) -> None:
    assert (percent <= reliable_up_to(samples)) == (samples >= minimum_samples(percent))


def test_each_further_nine_has_the_same_room() -> None:
    axis = tail(99.995, 0.0, 100.0)
    places = [axis.place(percent) for percent in (0, 90, 99, 99.9, 99.99)]
    steps = np.diff(places)
    assert steps == pytest.approx([steps[0]] * 4, rel=1e-9)
    assert [label for _, label in axis.ticks] == ["0", "50", "90", "99", "99.9", "99.99"]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 12))
def test_ticks_are_round_and_within_the_axis(low: float, span: float, most: int) -> None:
    ticks = nice_ticks(low, low + span, most)
    assert len(ticks) <= most + 2
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in ticks)
    axis = linear(low, low + span, 10.0, 200.0)
    assert all(10 - 1e-3 <= axis.place(tick) <= 200 + 1e-3 for tick, _ in axis.ticks)


def test_each_pixel_of_the_curve_is_a_percentile_that_was_measured(tmp_path: Path) -> None:
    report = read_report(write_run(tmp_path / "r.json", Run({None: steady(302, slow={50: 70.0, 51: 40.0})})))
    frames = tracks(report)
    markup = percentile_curve(report.document, frames, 300)
    assert markup is not None
    ordered = np.sort(frames[0].duration_ns(RUN.stage))
    d = re.findall(rf'<path class="curve main" d="([^"]+)" data-stage="{RUN.stage}"', markup)[0]
    axis = tail(100 * (1 - 0.5 / 300), WIDE.left, WIDE.width - WIDE.right)
    top = float(ordered[-1]) / 1e6 * 1.06
    value_axis = linear(0.0, top, WIDE.height - WIDE.bottom, WIDE.top + 8)
    x0, y0 = map(float, re.findall(r"^M([\d.]+) ([\d.]+)", d)[0])
    corners = [(x0, y0), *((float(x), float(y)) for x, y in re.findall(r"H([\d.]+)V([\d.]+)", d))]
    assert len(corners) == 12, "as many as there are latencies"
    for x, y in corners:
        share = (x - axis.start) / (axis.end - axis.start)
        percent = 100 * (1 - 10 ** (-share * axis.transform(axis.high)))
        expected = nearest_rank(ordered, max(percent, 1e-9)) / 1e6
        assert y == pytest.approx(value_axis.place(expected), abs=0.06)


def test_without_raw_samples_the_curve_has_the_reports_percentiles_alone(tmp_path: Path) -> None:
    report = read_report(write_run(tmp_path / "r.json", Run({None: steady(302)}, samples=False)))
    markup = percentile_curve(report.document, (), 300)
    assert markup is not None
    assert 'class="curve' not in markup
    assert len(re.findall('class="percentile"', markup)) == 2 * 4


def test_the_axis_has_an_end_however_many_frames_the_report_counts(tmp_path: Path) -> None:
    report = read_report(write_run(tmp_path / "report.json", Run({None: steady(50)})))
    html = str(percentile_curve(report.document, (), 2**62))
    assert "99.99999" in html
    assert "100.0000" not in html

"""Whatever a run's latencies are, the page is drawn."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.latency.page import render_page
from googlenet_edge.latency.report_file import read_report
from tests.latency.report_files import FrameTimes, Run, write_run

times = st.one_of(st.just(0.0), st.floats(0, 5), st.floats(0, 1e4))
queues = st.one_of(times, st.floats(-5, 5))  # below 0 where a camera's own clock is ahead
frames = st.builds(FrameTimes, st.floats(0, 1e6), queues, times, times, times)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(frames, min_size=1, max_size=40),
    st.lists(frames, max_size=10),
    st.integers(0, 5),
    st.integers(5, 60),
    st.booleans(),
)
def test_the_page_is_drawn(
    first: list[FrameTimes], second: list[FrameTimes], warmup: int, capacity: int, with_samples: bool
) -> None:
    cameras: dict[str | None, list[FrameTimes]] = {"a": first, "b": second} if second else {None: first}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(cameras, warmup=warmup, capacity=capacity, samples=with_samples)
        report = read_report(write_run(Path(folder) / "r.json", run))
    text = render_page(report)
    assert text.endswith("</html>\n")
    assert "nan" not in text.partition("<style>")[2].partition("</style>")[2].partition("<script>")[0]
    assert ('<figure id="timeline">' in text) == any(len(each.samples.rows) for each in report.samples)

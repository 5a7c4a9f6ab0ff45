from __future__ import annotations

from pathlib import Path

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.report_samples import POINTS, read_samples
from googlenet_edge.latency.sample_format import MISSING
from tests.latency.report_files import MS, Run, steady, write_run


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write_run(tmp_path / "report.json", Run({None: steady(102)}, warmup=0)).with_name("report-samples.csv")


def test_what_was_written_is_read(samples: Path) -> None:
    read = read_samples(samples)
    assert read.columns == (*POINTS, "wait_ns")
    assert read.rows[:3, 0].tolist() == [0, 1, 2]
    assert read.rows[2].tolist() == [2, 20 * MS, 21 * MS, 23 * MS, 27 * MS + 200_000, 28 * MS + 200_000, 2_900_000]
    assert read.rows[0, -1] == MISSING, "the first frame was not waited for"


def test_frames_come_in_the_order_of_emission(samples: Path) -> None:
    heading, *lines = samples.read_text().splitlines()
    samples.write_text("\n".join([heading, *reversed(lines)]), encoding="utf-8")
    assert read_samples(samples).rows[:, 0].tolist() == list(range(102))


def test_a_file_without_a_frame_is_read(samples: Path) -> None:
    samples.write_text(samples.read_text().splitlines()[0] + "\n", encoding="utf-8")
    assert read_samples(samples).rows.shape == (0, 7)


@pytest.mark.parametrize(
    "line",
    [
        "1,2,3",
        "a,1,2,3,4,5,6",
        ",1,2,3,4,5,6",
        "1,1,2,3,4,99999999999999999999,6",
        "99999999999999999999,1,2,3,4,5,6",
    ],
)
def test_damaged_samples_are_refused_with_their_line(samples: Path, line: str) -> None:
    lines = samples.read_text().splitlines()
    samples.write_text("\n".join([*lines[:10], line, *lines[11:]]), encoding="utf-8")
    with pytest.raises(InputError, match="got a damaged line 11"):
        read_samples(samples)


def test_samples_with_other_columns_are_refused(samples: Path) -> None:
    samples.write_text("time,latency\n1,2\n")
    with pytest.raises(InputError, match="got columns 'time, latency'"):
        read_samples(samples)

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.cli import bench_roofline
from googlenet_edge.cli.bench_roofline import measure_roofline, roofline_document, roofline_lines, roofline_table
from googlenet_edge.cli.main import main
from googlenet_edge.latency.layer_times import LayerReport, layer_report
from googlenet_edge.latency.roofline import MachinePeak
from googlenet_edge.runtime import machine_peak
from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig

PEAK = MachinePeak(macs_per_s=2e9, bytes_per_s=5e9)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The threads of each measurement of the peak, which is a known one here."""
    asked: list[int | None] = []

    def measured(threads: int | None) -> MachinePeak:
        asked.append(threads)
        return PEAK

    monkeypatch.setattr(machine_peak, "measure_peak", measured)
    return asked


@pytest.fixture
def report() -> LayerReport:
    return layer_report([("fc", [3000])], {"fc": ("fc",)}, [4000], order=("conv1", "fc"), frames=1)


def test_the_figures_of_a_row_fit_each_other_and_the_peak(
    tiny_bundle: Path, tmp_path: Path, threads: list[int | None], capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "layers.json"
    arguments = ["--layers", "--backend", "onnxruntime", "--threads", "1", "--batch", "2", "--iterations", "5"]
    assert main(["bench", str(tiny_bundle), *arguments, "--json", str(figures)]) == 0
    assert threads == [1], "measured with the backend's threads"
    shown = capsys.readouterr().out
    for word in ("MMAC", "MAC/byte", "bound by", "this machine: 2.0 GMAC/s, 5.0 GB/s", "peak rate: products of"):
        assert word in shown
    document = json.loads(figures.read_text())
    roofline = document["roofline"]
    assert (roofline["peak_macs_per_s"], roofline["bandwidth_bytes_per_s"]) == (2e9, 5e9)
    assert [row["name"] for row in roofline["rows"]] == [row["name"] for row in document["rows"]]
    times = {row["name"]: row["median_ms"] for row in document["rows"]}
    (fc,) = (row for row in roofline["rows"] if row["name"] == "fc")
    assert fc["macs"] == 2 * 15, "two frames"
    assert fc["moved_bytes"] > 0
    assert fc["bound_ms"] == pytest.approx(1e3 * max(30 / 2e9, fc["moved_bytes"] / 5e9), abs=1e-6)
    if times["fc"]:  # ONNX Runtime times whole microseconds, and may say 0
        assert fc["roofline_share"] == pytest.approx(fc["bound_ms"] / times["fc"], rel=1e-2, abs=1e-4)
    assert set(roofline["definitions"]) == {"macs", "moved_bytes", "bound_ms", "roofline_share"}


@pytest.mark.parametrize(
    ("is_ort", "precision", "reason"),
    [(True, "int8", "this graph computes in int8"), (False, "fp32", "the peak of this backend is not measured")],
)
def test_where_no_peak_fits_the_work_is_shown_without_a_share(
    tiny_bundle: Path, report: LayerReport, threads: list[int | None], is_ort: bool, precision: str, reason: str
) -> None:
    bundle = Bundle.open(tiny_bundle)
    manifest = SimpleNamespace(precision=precision, nodes=bundle.manifest.nodes)
    with OrtBackend(bundle.graph_path, OrtConfig(threads=1, profile_layers=True)) as backend:
        of = backend if is_ort else SimpleNamespace()
        roofline = measure_roofline(report, cast("Any", of), cast("Any", SimpleNamespace(manifest=manifest)))
    assert threads == []
    assert roofline.peak is None
    assert reason in roofline_lines(roofline)[0]
    (row,) = cast("list[dict[str, object]]", roofline_document(roofline)["rows"])
    assert (row["macs"], row["macs_per_s"], row["roofline_share"], row["bound_by"]) == (15, 5_000_000, None, None)
    assert [column.header for column in roofline_table(roofline).columns][-1] == "MAC/byte"


def test_what_is_not_known_is_a_dash() -> None:
    assert bench_roofline._shown(None, 1, ".1f") == "-"
    assert bench_roofline._shown(0.5, 100, ".0f", " %") == "50 %"

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from googlenet_edge.latency.prometheus import prometheus_text, write_prometheus
from googlenet_edge.latency.report_file import read_report
from googlenet_edge.types import Outages
from tests.latency.report_files import Run, steady, write_run

parser = pytest.importorskip("prometheus_client.parser")


def parsed(text: str) -> dict[str, Any]:
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def values(family: Any, **labels: str) -> dict[str, float]:
    """Return the values of a family's samples with these labels, by name and quantile."""
    return {
        sample.name + sample.labels.get("quantile", ""): sample.value
        for sample in family.samples
        if labels.items() <= sample.labels.items()
    }


def test_the_values_are_those_of_the_report(tmp_path: Path) -> None:
    run = Run(
        {"door": steady(102), "yard": steady(52)}, samples=False, outages=Outages(2, 1, 7, 3_000_000_000), dropped=5
    )
    path = write_run(tmp_path / "r.json", run)
    document = json.loads(path.read_text())
    families = parsed(prometheus_text(read_report(path).document))
    latency, name = families["googlenet_edge_stage_latency_seconds"], "googlenet_edge_stage_latency_seconds"
    assert latency.type == "summary"
    assert latency.documentation
    cameras = [(camera["name"], camera["stages"]) for camera in document["cameras"]]
    for camera, stages in [("", document["latency"]["stages"]), *cameras]:
        for stage, said in stages.items():
            found = values(latency, camera=camera, stage=stage)
            assert found[f"{name}_count"] == said["count"]
            assert found[f"{name}_sum"] == pytest.approx(said["mean_ms"] * said["count"] / 1e3, rel=1e-9)
            quantiles = {key.removeprefix(name): value for key, value in found.items() if key[-1].isdigit()}
            expected = {f"{p / 100:g}": said[f"p{p}_ms"] / 1e3 for p in (50, 90, 95, 99)}
            assert quantiles == pytest.approx(expected, rel=1e-9)
    reliable = values(families["googlenet_edge_stage_latency_quantile_reliable"], camera="door", stage="queue")
    assert sorted(reliable.values()) == [0, 0, 1, 1]
    assert values(families["googlenet_edge_frames_dropped"], camera="") == {"googlenet_edge_frames_dropped": 5}
    assert values(families["googlenet_edge_camera_outages"], camera="yard") == {"googlenet_edge_camera_outages": 2}
    assert values(families["googlenet_edge_camera_outage_seconds"], camera="yard") == {
        "googlenet_edge_camera_outage_seconds": 3.0
    }
    assert values(families["googlenet_edge_accuracy_ratio"]) == {"googlenet_edge_accuracy_ratio": 0.98}
    assert values(families["googlenet_edge_run_end_timestamp_seconds"]) == {
        "googlenet_edge_run_end_timestamp_seconds": 1767323045.0
    }


def test_labels_are_escaped(tmp_path: Path) -> None:
    hostile = 'back\\slash "quoted"\nnew line {a="b"} \udcff'
    path = write_run(tmp_path / "r.json", Run({None: steady(20)}, samples=False, description=hostile))
    write_prometheus(tmp_path / "r.prom", read_report(path).document)
    families = parsed((tmp_path / "r.prom").read_text(encoding="utf-8"))
    (sample,) = families["googlenet_edge_run_info"].samples
    assert sample.labels["source"] == hostile.replace("\udcff", "\ufffd")
    assert sample.labels["precision"] == "int8"


def test_each_metric_is_described_once_and_stands_together(tmp_path: Path) -> None:
    path = write_run(tmp_path / "r.json", Run({"a": steady(20), "b": steady(20)}, samples=False))
    lines = prometheus_text(read_report(path).document).splitlines()
    described = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(described) == len(set(described)) > 8
    current = ""
    for line in lines:
        if line.startswith("# TYPE"):
            current = line.split()[2]
        elif not line.startswith("#"):
            assert line.partition("{")[0].split()[0].removesuffix("_sum").removesuffix("_count") == current


def test_a_report_without_a_frame_has_no_empty_metric(tmp_path: Path) -> None:
    text = prometheus_text(read_report(write_run(tmp_path / "r.json", Run({None: steady(1)}))).document)
    families = parsed(text)
    assert "googlenet_edge_stage_latency_seconds" not in families
    assert values(families["googlenet_edge_frames_measured"]) == {"googlenet_edge_frames_measured": 0}

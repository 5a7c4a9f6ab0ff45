"""``bench --layers`` with several bundles: from the command line to the file and the exit code, on tiny bundles."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet_edge.bundle import BundleFacts, GoldenFrames
from googlenet_edge.cli.main import main
from tests.scenarios.matrix.bundles import Maker
from tests.scenarios.matrix.making import children, is_gone

QUICK = ["--layers", "--backend", "onnxruntime", "--threads", "1", "--iterations", "3", "--warmup", "1"]


@pytest.fixture
def bundles(tmp_path: Path, tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tiny_graph_path: Path) -> Path:
    """A folder with two bundles, of which the second says nothing of its nodes."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    maker = Maker(folder, tiny_facts, tiny_golden, tiny_graph_path.read_bytes())
    maker.make("first")
    maker.make("second", "int8", form="torchvision", nodes=())
    return folder


def test_a_folder_of_bundles_is_compared(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = bundles.parent / "layers.json"
    assert main(["bench", str(bundles), *QUICK, "--batch", "2", "--rounds", "2", "--json", str(place)]) == 0
    shown, said = capsys.readouterr()
    assert said == "2 bundles, 2 rounds: 4 measurements\nround 1 of 2\n" + said[said.index("round 2 of 2: about ") :]
    assert "ONNX Runtime" in shown
    assert "3 inferences of 2 frames without the layers' profiler" in shown
    document = json.loads(place.read_text())
    first, second = document["bundles"]
    assert (first["title"], first["form"], first["precision"]) == ("first", "onnx", "fp32")
    assert (second["title"], second["form"], second["precision"]) == ("second", "torchvision", "int8")
    assert len(second["whole"]["ratio"]["rounds"]) == 2
    ratio = second["whole"]["ms"]["rounds"][0] / first["whole"]["ms"]["rounds"][0]
    assert second["whole"]["ratio"]["rounds"][0] == pytest.approx(ratio, rel=0.01)
    rows = {row["name"]: row["figures"] for row in second["rows"]}
    assert rows["fc"] is None, "its nodes are not known: all of its layers are other ones"
    assert rows["other"]["ms"]["median"] > 0
    assert (first["whole"]["macs"], second["whole"]["macs"]) == (2 * (15 + 81 * 111 * 111), None)
    assert document["machine"]["cpu"]
    assert set(document["state"]) >= {"before", "after"}
    assert not [path for path in bundles.parent.iterdir() if path.is_file() and path != place]


def test_a_folder_with_one_bundle_is_that_bundle(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(bundles / "second")
    assert main(["bench", str(bundles), *QUICK]) == 0
    assert "slowest layers" in capsys.readouterr().out


def test_what_cannot_be_compared_is_told_before_measuring(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, empty = str(bundles / "first"), str(bundles / "second"), bundles.parent / "empty"
    empty.mkdir()
    failing: dict[str, tuple[int, list[str]]] = {
        f"got the bundle {first} twice, expected each once": (2, [first, str(bundles)]),
        "bench: got no BUNDLE, expected one or more": (2, []),
        f"'{empty}'": (1, [first, str(empty)]),
        "got nothing there": (1, [first, str(bundles / "third")]),
        "--top: got it for 2 bundles, expected it for one": (2, [first, second, "--top", "3"]),
        "--rounds: got it with --layers for one bundle, expected it for several": (2, [first, "--rounds", "3"]),
        "--precision: got it with --layers": (2, [first, second, "--precision", "fp32"]),
        "which is inside the bundle": (2, [first, second, "--json", f"{second}/x.json"]),
        "JSON file": (1, [first, second, "--json", str(empty / "no" / "x.json")]),
        "expected at most 1000 together": (2, [first, second, "--iterations", "1000"]),
    }
    for message, (code, arguments) in failing.items():
        assert main(["bench", *QUICK, *arguments]) == code, message
        shown, errors = capsys.readouterr()
        assert message in errors
        assert errors.startswith("error: ")
        assert shown == ""


def test_a_bundle_that_cannot_be_measured_ends_it_with_its_name(
    bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = bundles.parent / "layers.json"
    assert main(["bench", str(bundles), *QUICK, "--backend", "tensorrt-rtx", "--json", str(place)]) == 1
    shown, errors = capsys.readouterr()
    assert shown == ""
    assert errors.splitlines()[-1].startswith("error: A, first, round 1: ")
    assert not place.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_and_nothing_is_left(bundles: Path, number: signal.Signals) -> None:
    place, scratch = bundles.parent / "layers.json", bundles.parent / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "googlenet_edge", "bench", str(bundles), *QUICK, "--rounds", "100"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TMPDIR": str(scratch)}
    with subprocess.Popen(
        [*command, "--json", str(place)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stderr is not None
        for line in parent.stderr:
            if line.startswith("round 2 of 100"):
                break
        begun = children(parent.pid)
        parent.send_signal(number)
        shown, errors = parent.communicate(timeout=60)
    assert (parent.returncode, shown, errors) == (1, "", "interrupted\n")
    assert all(is_gone(child) for child in begun)
    assert not place.exists()
    assert list(scratch.iterdir()) == []

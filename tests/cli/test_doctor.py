from __future__ import annotations

import json
import subprocess
import sys

import pytest

from googlenet_edge.cli.main import main
from googlenet_edge.doctor import FEATURES


@pytest.fixture(scope="module")
def document() -> dict[str, object]:
    """What the doctor says of this machine, for --json."""
    command = [sys.executable, "-m", "googlenet_edge", "doctor", "--json", "--require", "classify-cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr  # the tests need this feature themselves
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_this_machine_as_json(document: dict[str, object]) -> None:
    features = document["features"]
    assert isinstance(features, list)
    assert [feature["name"] for feature in features] == list(FEATURES)
    ready = {feature["name"]: feature["ready"] for feature in features}
    assert ready["classify-cpu"] is True
    for feature in features:
        assert feature["ready"] == (feature["missing"] == [])
        assert all(need["what"] and need["remedy"] for need in feature["missing"])


def test_tables_and_a_feature_that_is_not_ready(
    document: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    features = document["features"]
    assert isinstance(features, list)
    missing = [feature for feature in features if not feature["ready"]]
    if not missing:
        pytest.skip("a machine that lacks nothing")
    assert main(["doctor", "--require", missing[0]["name"]]) == 1
    captured = capsys.readouterr()
    assert f"error: not ready: {missing[0]['name']}" in captured.err
    assert "ONNX Runtime" in captured.out
    assert all(name in captured.out for name in FEATURES)
    for feature in missing:
        for need in feature["missing"]:  # unbroken, so that a remedy can be copied
            assert f"-> {need['remedy']}\n" in captured.out


def test_an_unknown_feature_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--require", "teleport"]) == 2
    assert "got 'teleport', expected one of classify-cpu," in capsys.readouterr().err

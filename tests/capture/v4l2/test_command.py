"""The command with a camera that is unplugged while it runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.capture.v4l2.soft_camera import MakeCamera, wait_until


def test_the_command_goes_on_when_the_camera_is_plugged_in_again(
    soft_camera: MakeCamera, tiny_bundle: Path, tmp_path: Path
) -> None:
    camera = soft_camera("YUYV 160x120 30")
    results, report = tmp_path / "results.jsonl", tmp_path / "report.json"

    def lines() -> int:
        return results.read_text().count("\n") if results.exists() else 0

    command = [sys.executable, "-m", "googlenet_edge", "run", tiny_bundle, camera.path, "--warmup", "0"]
    options = ["--jsonl", results, "--report", report, "--reconnect", "forever"]
    with (tmp_path / "said").open("w+") as said:
        process = subprocess.Popen([*map(str, command), *map(str, options)], stdout=said, stderr=said)
        try:
            wait_until(lambda: lines() > 3 or process.poll() is not None)
            camera.unplug()
            wait_until(lambda: camera["open_files"] == 0 or process.poll() is not None)
            before = lines()
            camera.plug()
            wait_until(lambda: lines() > before + 3 or process.poll() is not None)
            process.send_signal(signal.SIGTERM)
            code = process.wait(20)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        text = said.read()
    assert report.exists(), text
    document = json.loads(report.read_text())
    outages = document["cameras"][0]["outages"]
    assert (outages["lost"], outages["reconnected"]) == (1, 1), text
    assert document["cameras"][0]["frames"] == lines()
    assert f"{camera.path}: lost: the camera was unplugged" in text
    assert code in (0, 128 + signal.SIGTERM), text

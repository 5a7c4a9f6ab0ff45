"""NVIDIA's own Python package, on a stand-in for the library that it loads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet_edge.latency.watch.sensors.nvml import throttle_names

SOURCE = Path(__file__).parents[1] / "data/nvml.c"

ASK = """
import ctypes, json, sys
from pathlib import Path
from googlenet_edge.latency.watch.instruments import open_instruments
from googlenet_edge.latency.watch.sensors.nvml import Nvml, NvmlMeter, NvmlProbe, open_nvml
from googlenet_edge.latency.watch.state import machine_state

nvml = open_nvml()
if not isinstance(nvml, Nvml):
    print(json.dumps({"reason": str(nvml)}))
    sys.exit()
meter, probe = NvmlMeter(nvml), NvmlProbe(nvml)
look = probe.look()
said = {
    "rails": [[rail.name, rail.kind, rail.counted] for rail in meter.rails],
    "readings": meter.read(),
    "channels": [[channel.name, channel.unit] for channel in probe.channels],
    "values": look.values,
    "throttles": look.throttles,
    "gpus": machine_state(Path("/nowhere"), nvml=nvml).to_dict()["gpus"],
}
nvml.close()
with open_instruments(Path("/nowhere")) as instruments:
    said["meters"] = [[rail.name for rail in meter.rails] for meter in instruments.meters]
    said["unreadable"] = [str(one) for one in instruments.unreadable]
said["users"] = ctypes.CDLL("libnvidia-ml.so.1").stand_in_users()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Compile the stand-in, as a driver of today and as one before 535; return the folders."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (Debian: gcc)")
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py")
    folders = {}
    for name, options in (("new", []), ("old", ["-DOLD_DRIVER"])):
        folders[name] = tmp_path_factory.mktemp(name)
        library = folders[name] / "libnvidia-ml.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", *options, "-o", str(library), str(SOURCE)], check=True)
    return folders


def ask(folder: Path, **environment: str) -> dict[str, object]:
    """Ask all there is to ask in a process of its own, which alone loads the library."""
    finished = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    said: dict[str, object] = json.loads(finished.stdout)
    return said


def test_a_gpu_gives_energy_clocks_temperature_and_what_slows_it(libraries: dict[str, Path]) -> None:
    said = ask(libraries["new"], NVML_REASONS="0x24")
    name = "NVIDIA GeForce RTX 4070"
    assert said["rails"] == [[name, "energy", True]]
    assert said["readings"] == [7_000_000_123_000]
    assert said["channels"] == [[name, "MHz"], [name, "C"]]
    assert said["values"] == [2475.0, 66.0]
    assert said["throttles"] == ["GPU: power limit", "GPU: heat (driver)"]
    assert said["gpus"] == [
        {
            "name": name, "source": "nvml", "current_mhz": 2475.0, "lowest_mhz": None, "highest_mhz": 3105.0,
            "governor": None, "memory_mhz": 10501.0, "celsius": 66.0, "power_w": 150.25, "power_limit_w": 200.0,
            "throttles": ["power limit", "heat (driver)"],
        }
    ]  # fmt: skip
    assert said["meters"] == [[name]]
    assert said["users"] == 0, "the library was not shut down"


def test_an_old_gpu_without_a_counter_gives_power(libraries: dict[str, Path]) -> None:
    said = ask(libraries["new"], NVML_GPUS="2")
    first, second = "NVIDIA GeForce RTX 4070 #0", "NVIDIA GeForce GTX 1080 #1"
    assert said["rails"] == [[first, "energy", True], [second, "power", True]]
    assert said["readings"] == [7_000_000_123_000, 50_000_000]
    assert said["throttles"] == []


def test_an_older_driver_knows_the_reasons_by_another_name(libraries: dict[str, Path]) -> None:
    assert ask(libraries["old"], NVML_REASONS="0x40")["throttles"] == ["GPU: heat (hardware)"]


def test_a_gpu_that_reports_no_power_is_named_as_such(libraries: dict[str, Path]) -> None:
    said = ask(libraries["new"], NVML_JETSON="1")
    assert said["rails"] == []
    assert "the driver reports neither energy nor power" in str(said["unreadable"])
    assert (said["channels"], said["values"]) == ([["NVIDIA GeForce RTX 4070", "C"]], [66.0])


@pytest.mark.parametrize(
    ("environment", "reason"),
    [({"NVML_REFUSES": "1"}, "Insufficient Permissions"), ({"NVML_GPUS": "0"}, "reports no GPU")],
)
def test_why_the_library_cannot_be_used_is_said(
    environment: dict[str, str], reason: str, libraries: dict[str, Path]
) -> None:
    assert reason in str(ask(libraries["new"], **environment)["reason"])


def test_idle_and_clocks_that_someone_set_are_no_throttling() -> None:
    assert throttle_names(0x1 | 0x2 | 0x100) == []
    assert throttle_names(0x8 | 0x80) == ["hardware slowdown: heat or power", "power brake of the supply"]

"""The real ``run`` command under a service manager, and stopped at every stage."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
COMMAND = [sys.executable, "-m", "googlenet_edge", "run"]
UNIT = Path(__file__).parents[2] / "packaging" / "systemd" / "googlenet-edge@.service"
STOP_S = 3.0
"""What is promised to end within a second, on a machine that does other things as well."""


class Manager:
    """What systemd is to a service: a socket that gets its messages."""

    def __init__(self, folder: Path) -> None:
        self.address = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.address))
        self._socket.settimeout(0.1)
        self.messages: list[str] = []

    def environment(self, *, watchdog_s: float) -> dict[str, str]:
        return {**ENVIRONMENT, "NOTIFY_SOCKET": str(self.address), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}

    def receive(self) -> str | None:
        try:
            self.messages.append(self._socket.recv(4096).decode())
        except TimeoutError:
            return None
        return self.messages[-1]

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[str], *, within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            self.receive()
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, self.messages

    def count(self, message: str) -> int:
        return self.messages.count(message)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


@contextmanager
def started(
    *arguments: object, environment: dict[str, str] = ENVIRONMENT, stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()  # nothing, where it has ended


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], *, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.02)


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str, str]:
    """Send the signal; return the seconds until the process had ended, and what it printed."""
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return time.monotonic() - began, out, err


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing, as a camera does that has crashed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def processes(file: str, text: str) -> list[str]:
    """Return the processes with this text in their ``cmdline`` or ``environ``."""
    found = []
    for path in Path("/proc").glob(f"[0-9]*/{file}"):
        try:
            if text.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.parametrize("source", ["http://admin:Geheim7@{}/video", "rtsp://admin:Geheim7@{}/1", "gst: {}"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 1)])
def test_a_signal_ends_the_opening_of_a_camera_that_does_not_answer(
    number: signal.Signals, code: int, source: str, tiny_bundle: Path, tmp_path: Path, silent_server: socket.socket
) -> None:
    if source.startswith("gst:") and shutil.which("gst-launch-1.0") is None:
        pytest.skip("needs gst-launch-1.0, of Debian's package gstreamer1.0-tools")
    host, port = silent_server.getsockname()
    pipeline = f"tcpclientsrc host={host} port={port} ! decodebin"
    sources = tmp_path / "sources"
    sources.write_text(source.format(pipeline if source.startswith("gst:") else f"{host}:{port}") + "\n")
    mark = f"MARK={tmp_path}"
    arguments = (tiny_bundle, f"@{sources}", "--open-timeout", 60_000, "--report", tmp_path / "r.json")
    environment = {**ENVIRONMENT, "MARK": str(tmp_path)}
    with started(*arguments, environment=environment) as process, silent_server.accept()[0]:
        assert processes("environ", mark), "the mark is found"
        assert not processes("cmdline", "Geheim7"), "a password in the process list"
        took_s, _, err = stopped(process, number)
        deadline = time.monotonic() + 2
        while left := processes("environ", mark):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    assert process.returncode == code
    assert took_s < STOP_S
    assert err.splitlines()[-1] == ("terminated" if number == signal.SIGTERM else "interrupted")
    assert "Geheim7" not in err
    assert not (tmp_path / "r.json").exists()


def test_systemd_hears_that_it_is_ready_alive_and_stopping(tiny_bundle: Path, tmp_path: Path, manager: Manager) -> None:
    arguments = ("a=demo:", "b=demo:", "--fps", 20, "--size", "96x96", "--threads", 1, "--quiet")
    report = tmp_path / "r.json"
    with started(
        tiny_bundle, *arguments, "--report", report, environment=manager.environment(watchdog_s=0.4)
    ) as process:
        manager.wait_for(lambda: manager.count("WATCHDOG=1") >= 5, process)
        took_s, _, err = stopped(process, signal.SIGTERM)
    while manager.receive():
        pass
    assert process.returncode == 0, err
    assert took_s < STOP_S
    assert manager.messages.index("READY=1") < manager.messages.index("WATCHDOG=1")
    assert any(re.fullmatch(r"STATUS=2 of 2 cameras connected.*", message) for message in manager.messages)
    assert manager.count("READY=1") == manager.count("STOPPING=1") == 1
    assert json.loads(report.read_text())["run"]["ended"] == "stopped"


def test_a_service_whose_camera_is_away_is_ready_and_stays_alive(
    tiny_bundle: Path, tmp_path: Path, manager: Manager
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]  # free again below, so that connections are refused
    report = tmp_path / "r.json"
    with started(
        tiny_bundle, f"yard=http://127.0.0.1:{port}/video", "--reconnect", "forever", "--report", report, "--quiet",
        environment=manager.environment(watchdog_s=0.4),
    ) as process:  # fmt: skip
        manager.wait_for(lambda: manager.count("WATCHDOG=1") >= 3, process)
        took_s, _, err = stopped(process, signal.SIGTERM)
    assert process.returncode == 0, err
    assert took_s < STOP_S
    assert manager.messages[: manager.messages.index("READY=1")][-1].startswith("STATUS=")
    assert "STATUS=0 of 1 cameras connected (not yard), 0 results" in manager.messages
    assert f"yard: http://127.0.0.1:{port}/video: not there yet: " in err
    document = json.loads(report.read_text())
    assert document["cameras"][0]["outages"]["lost"] == 1
    assert document["cameras"][0]["outages"]["down_s"] > 0
    (event,) = document["events"]
    assert (event["kind"], event["camera"], event["text"]) == ("lost", "yard", "no frames from yard")
    assert event["from_s"] == 0 < event["to_s"], "from the start to the end: it never came"
    assert (document["run"]["ended"], document["run"]["frames"]) == ("stopped", 0)


def test_an_output_that_blocks_ends_the_signs_of_life(tiny_bundle: Path, manager: Manager) -> None:
    period_s = 0.4
    with started(
        tiny_bundle, "demo:", "--size", "96x96", "--threads", 1, "--jsonl", "-", "--quiet",
        environment=manager.environment(watchdog_s=period_s),
    ) as process:  # fmt: skip
        manager.wait_for(lambda: manager.count("WATCHDOG=1") >= 1, process)
        # Nobody reads standard output, so its pipe fills up. Silence for many periods is what systemd kills for.
        deadline = time.monotonic() + 60
        silent_since = time.monotonic()
        while time.monotonic() - silent_since < 5 * period_s:
            if manager.receive() is not None:
                silent_since = time.monotonic()
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the signs of life go on"


def test_a_hangup_opens_the_files_anew(tiny_bundle: Path, tmp_path: Path) -> None:
    lines = tmp_path / "r.jsonl"
    with started(
        tiny_bundle, "demo:", "--fps", 30, "--size", "96x96", "--threads", 1, "--quiet", "--append", "--jsonl", lines
    ) as process:
        wait_until(lambda: lines.exists() and lines.stat().st_size > 0, process)
        moved = lines.rename(tmp_path / "r.jsonl.1")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: lines.exists() and lines.read_bytes().count(b"\n") >= 3, process)
        stopped(process, signal.SIGTERM)
    assert process.returncode == 0
    numbers = [json.loads(line)["sequence"] for path in (moved, lines) for line in path.read_text().splitlines()]
    assert numbers == sorted(set(numbers)), "no line is lost, torn or written twice"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_terminal_that_is_gone_costs_neither_the_report_nor_the_video(
    tiny_bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    report, lines, video = tmp_path / "report.json", tmp_path / "r.jsonl", tmp_path / "v.avi"
    arguments = [tiny_bundle, "demo:", "--fps", 30, "--size", "96x96", "--threads", 1, "--quiet"]
    arguments += ["--jsonl", lines, "--report", report, "--video", video]
    command = shlex.join([*COMMAND, *map(str, arguments)])
    with subprocess.Popen(["/bin/sh", "-c", f"exec {command} >&- 2>&-"], text=True, env=ENVIRONMENT) as process:
        try:
            wait_until(lambda: lines.exists() and lines.stat().st_size > 0, process)
            process.send_signal(number)
            process.wait(60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert json.loads(report.read_text())["run"]["ended"] == "stopped"
    assert video.stat().st_size > 0


def unit_settings() -> dict[str, str]:
    text = UNIT.read_text().replace("\\\n", "")
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z]\w+=", line))


def test_the_units_command_runs_and_its_settings_fit(tiny_bundle: Path, tmp_path: Path, manager: Manager) -> None:
    settings = unit_settings()
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "sources").write_text("# cameras\ndoor=demo:\nyard=demo:?seed=3\n")
    for folder in ("lib/googlenet-edge/shop", "cache/googlenet-edge"):
        (tmp_path / folder).mkdir(parents=True)
    places = {
        "/opt/googlenet-edge/bin/googlenet-edge": f"{sys.executable} -m googlenet_edge",
        "${BUNDLE}": str(tiny_bundle),
        "${CREDENTIALS_DIRECTORY}": str(credentials),
        "%S": str(tmp_path / "lib"),
        "%C": str(tmp_path / "cache"),
        "%i": "shop",
        "$OPTIONS": "--fps 20 --size 96x96 --threads 1 --jsonl /dev/full",
    }
    command = settings["ExecStart"]
    for name, value in places.items():
        assert name in command, name
        command = command.replace(name, value)
    assert settings["Type"] == "notify"
    with subprocess.Popen(
        shlex.split(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=manager.environment(watchdog_s=1),
    ) as process:
        manager.wait_for(lambda: manager.count("WATCHDOG=1") >= 2, process)
        took_s, _, err = stopped(process, signal.Signals[settings["KillSignal"]])
    assert process.returncode == 0, err
    assert took_s < STOP_S < float(settings["TimeoutStopSec"])
    report = json.loads((tmp_path / "lib/googlenet-edge/shop/report.json").read_text())
    assert [camera["name"] for camera in report["cameras"]] == ["door", "yard"]
    assert {sink["sink"]: sink["dropped"] > 0 for sink in report["sinks"]}["jsonl"]
    assert (tmp_path / "lib/googlenet-edge/shop/events.jsonl").exists()


def test_the_unit_leaves_cameras_and_the_gpu_open() -> None:
    """Each of these settings closes /dev to the service, some without saying so in their names."""
    settings = unit_settings()
    assert not settings.keys() & {"DeviceAllow", "DevicePolicy", "PrivateDevices", "ProtectClock", "DynamicUser"}
    assert settings["SupplementaryGroups"].split() == ["video", "render"]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of Debian's package systemd"
)
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "googlenet-edge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "googlenet-edge@shop.service"
    unit.write_text(UNIT.read_text().replace("/opt/googlenet-edge/bin/googlenet-edge", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in done.stderr.splitlines() if "googlenet" in line or "shop" in line]
    assert (done.returncode, said) == (0, []), done.stderr

"""These tests run in a process of their own, with the software V4L2 driver put in front of the C library.

That process is one more pytest, started by the first of these tests that is run; here, each test only tells how it went
there. See README.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.capture.v4l2.soft_camera import MakeCamera, SoftCamera

HERE = Path(__file__).resolve().parent
HEADER = Path("/usr/include/linux/videodev2.h")
INSIDE = "SOFTV4L2" in os.environ
LIMIT_S = 240

_answers = pytest.StashKey[dict[str, list[dict[str, str]]]]()


def compiler() -> str:
    """The C compiler; skips the test where there is none, or no header of V4L2."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        pytest.skip("needs a C compiler (Debian: gcc)")
    if not HEADER.exists():
        pytest.skip(f"needs {HEADER} (Debian: linux-libc-dev)")
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if INSIDE or "soft_camera" not in pyfuncitem.fixturenames:
        return None
    compiler()
    if not os.access("/dev/shm", os.W_OK):  # noqa: S108 - a folder below /dev that everyone may write
        pytest.skip("needs /dev/shm")
    session = pyfuncitem.session
    if _answers not in session.stash:
        session.stash[_answers] = _run_inside(session)
    reports = session.stash[_answers].get(pyfuncitem.nodeid)
    if not reports:
        pytest.fail(f"{pyfuncitem.nodeid}: the process with the driver ended before it", pytrace=False)
    for report in reports:
        if report["outcome"] == "failed":
            pytest.fail(report["text"], pytrace=False)
        if report["outcome"] == "skipped":
            pytest.skip(report["text"])
    return True


def _run_inside(session: pytest.Session) -> dict[str, list[dict[str, str]]]:
    chosen = [item.nodeid for item in session.items if item.path.is_relative_to(HERE)]
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="softv4l2-") as folder:
        library, results = Path(folder, "libsoftv4l2.so"), Path(folder, "results")
        subprocess.run(["sh", HERE / "driver" / "build.sh", library], check=True)
        environment = os.environ | {"LD_PRELOAD": str(library), "SOFTV4L2": folder}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *chosen]
        try:
            subprocess.run(command, cwd=session.config.rootpath, env=environment, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            print(f"the process with the driver did not end within {LIMIT_S} s")  # noqa: T201 - for the test's report
        answers: dict[str, list[dict[str, str]]] = {}
        for line in results.read_text().splitlines() if results.exists() else ():
            report = json.loads(line)
            answers.setdefault(report["nodeid"], []).append(report)
        return answers


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not INSIDE:
        return
    longrepr: Any = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else report.longreprtext + report.caplog
    facts = {"nodeid": report.nodeid, "outcome": report.outcome, "text": text}
    with Path(os.environ["SOFTV4L2"], "results").open("a") as file:
        file.write(json.dumps(facts) + "\n")


@pytest.fixture
def soft_camera() -> Iterator[MakeCamera]:
    """Makes cameras of the software driver; see :class:`SoftCamera`. Each test finds a machine without any."""
    folder = Path(os.environ.get("SOFTV4L2", "/nonexistent"))
    made: list[SoftCamera] = []

    def make(*modes: str, number: int = 90, **settings: object) -> SoftCamera:
        made.append(SoftCamera(folder, number, modes, settings))
        return made[-1]

    yield make
    for camera in made:
        Path(camera.path).unlink(missing_ok=True)
        assert camera["open_files"] == 0, f"{camera.path} is still open"

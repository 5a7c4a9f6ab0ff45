"""The tests for a real GPU run here once, on the software driver: whoever has a board must not debug them.

That they pass here says nothing about a GPU: the engine is the stand-in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("integrated", ["0", "1"], ids=["a card", "a board"])
def test_the_tests_for_a_real_gpu_run(tmp_path: Path, integrated: str) -> None:
    results = tmp_path / "results.xml"
    environment = {**os.environ, "SOFTCUDA_INTEGRATED": integrated, "BUNDLES": ""}  # the tiny bundle alone
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-W", "default", "-p", "no:cacheprovider"),
            *("-o", "junit_family=xunit1", "--junitxml", str(results)),
        ],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (suite,) = ET.parse(results).iter("testsuite")  # noqa: S314 - pytest wrote it
    assert int(suite.attrib["tests"]) >= 13
    assert suite.attrib["skipped"] == "0"

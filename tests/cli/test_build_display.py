"""The bars on stderr while an engine is built."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

CODE = """
import logging, sys
from googlenet_edge.cli.build_display import BuildDisplay
from googlenet_edge.engine.progress import BuildProgress

logging.basicConfig(level=logging.WARNING, format="LOG %(message)s")
with BuildDisplay() as display:
    display.progress(BuildProgress("Building engine", None, 0, 6, 0))
    for _ in range(2):  # a phase may come again
        for done in range(4):
            display.progress(BuildProgress("Optimizing graph", "Building engine", done, 3, 1))
        logging.getLogger("test").warning("a lock")
    display.progress(BuildProgress("Building engine", None, 6, 6, 0))
logging.getLogger("test").warning("after")
print("out")
"""


def run_on_terminal(code: str) -> tuple[int, str, str]:
    """Run Python with stderr on a terminal; return its exit code, stdout, and what the terminal got."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # how Linux says that the other side is closed
            pass
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    return process.returncode, out, shown.decode(errors="replace")


def test_a_terminal_sees_the_phases_and_the_log_and_stdout_stays_clean() -> None:
    code, out, shown = run_on_terminal(CODE)
    assert (code, out) == (0, "out\n"), shown
    assert "Building engine" in shown
    assert shown.count("LOG a lock") == 2
    assert shown.endswith("LOG after\r\n")  # the log's own stream again, below the bars
    assert "Traceback" not in shown


def test_a_pipe_sees_only_the_log() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "LOG a lock\nLOG a lock\nLOG after\n")

"""However a process ends, it ends quietly: pycuda aborts one whose thread still has a context, and warns on stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet_edge.engine.build import build_engine
from googlenet_edge.engine.flavour import load_flavour
from googlenet_edge.engine.options import BuildOptions
from tests.softcuda import control

START = """
import gc, os, signal, sys, threading, time
import numpy as np
from pathlib import Path
from googlenet_edge.engine.flavour import load_flavour
from googlenet_edge.runtime.trt_backend import TrtBackend, TrtConfig

def backend(**settings):
    return TrtBackend(Path(sys.argv[1]).read_bytes(), load_flavour("tensorrt"), TrtConfig(timeout_s=20.0, **settings))

batch = np.zeros((2, 224, 224, 3), np.uint8)
"""

ENDS = {
    "left open": "b = backend(); b.infer(batch)",
    "left open with zero copy": "b = backend(zero_copy='on'); b.infer(batch); b.infer(batch)",
    "left open before the first batch": "b = backend()",
    "results never taken": "b = backend(); tickets = [b.submit(batch), b.submit(batch)]",
    "left by an exception": "b = backend(); b.infer(batch); raise SystemExit(0)",
    "collected as garbage": "b = backend(); b.infer(batch); del b; gc.collect()",
    "closed by another thread": "b = backend(); t = threading.Thread(target=b.close); t.start(); t.join()",
    "lent memory never given back": "b = backend(); loan = b.staging(2); array = loan.__enter__(); array[:] = 1",
    "two backends": "a = backend(); b = backend(); a.infer(batch); b.infer(batch); a.close(); b.infer(batch)",
    "used by a thread until the end": """
b = backend()
threading.Thread(target=lambda: [b.infer(batch) for _ in range(50)]).start()
""",
    "Ctrl-C": """
b = backend()
try:
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    while True:
        b.infer(batch)
except KeyboardInterrupt:
    pass
""",
    "Ctrl-C while closing": """
b = backend()
b.infer(batch)
lent = threading.Event()
def borrow():
    with b.staging(1):
        lent.set()
        time.sleep(1.0)
threading.Thread(target=borrow, daemon=True).start()
lent.wait()
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    b.close()
    raise SystemExit("not interrupted")
except KeyboardInterrupt:
    pass
""",
    "a child process was forked": """
b = backend()
b.infer(batch)
child = os.fork()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
b.infer(batch)
""",
}


@pytest.fixture(scope="module")
def plan_path(tmp_path_factory: pytest.TempPathFactory, tiny_graph_path: Path) -> Path:
    path = tmp_path_factory.mktemp("plan") / "tiny.plan"
    path.write_bytes(
        build_engine(load_flavour("tensorrt"), tiny_graph_path.read_bytes(), BuildOptions(max_batch=4)).plan
    )
    return path


def run_child(code: str, plan_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with the same driver and the same engine as in this one."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", START + code, str(plan_path)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("end", ENDS)
def test_a_process_ends_quietly_and_leaves_nothing(end: str, plan_path: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    child = run_child(ENDS[end], plan_path, SOFTCUDA_DEFER="1", SOFTCUDA_REPORT=str(report))
    assert (child.returncode, child.stderr) == (0, "")
    counters = control.Counters.read_report(report)
    assert counters.threads_ended_with_context == 0
    assert counters.late_uses == 0
    if end not in ("lent memory never given back", "Ctrl-C while closing"):  # what is on loan at the end is left alone
        assert counters.left == {}
        assert counters.abandoned == 0


PRINT_ERRORS = """
from googlenet_edge.errors import BackendError, DeviceError

def tell(call):
    try:
        call()
    except BackendError as error:
        print(f"{type(error).__name__}: {error}")

"""

BREAKS = {
    "a copy": (control.Fault.COPY, 5),
    "recording an event": (control.Fault.RECORD, 9),
    "enqueueing the engine": (control.Fault.HOST_FUNCTION, 3),
    "the computation": (control.Fault.EXECUTE, 12),
    "waiting": (control.Fault.SYNCHRONIZE, 3),
}


@pytest.mark.parametrize("error", [control.Error.LAUNCH_FAILED, control.Error.ILLEGAL_ADDRESS])
@pytest.mark.parametrize("what", BREAKS)
def test_a_lost_device_is_one_clear_error_and_a_quiet_end(what: str, error: control.Error, plan_path: Path) -> None:
    kinds, nth = BREAKS[what]
    code = (
        PRINT_ERRORS
        + """
b = backend(cuda_graph="off")
tickets = []
def submit():
    for _ in range(20):
        tickets.append(b.submit(batch))
tell(submit)
for ticket in tickets[-2:]:
    tell(ticket.result)
tell(lambda: b.infer(batch))
b.close()
tell(lambda: b.infer(batch))
print(threading.active_count())
"""
    )
    child = run_child(code, plan_path, SOFTCUDA_FAULT=control.fault_variable(kinds, error, nth=nth, sticky=True))
    assert (child.returncode, child.stderr) == (0, "")
    *told, threads = child.stdout.splitlines()
    assert threads == "1"
    assert len(told) >= 3
    assert all(line.startswith("DeviceError: ") for line in told)
    assert all("start the program again" in line for line in told)
    assert all("closed by an error; make a new one" in line for line in told[-2:]) or "closed" in told[-1]


def test_no_device_is_one_clear_error(plan_path: Path) -> None:
    child = run_child(PRINT_ERRORS + "tell(backend)", plan_path, SOFTCUDA_NODEVICE="1")
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout.startswith("DeviceError: GPU: got cuInit failed")
    assert "--backend onnxruntime" in child.stdout

"""Free memory before a build, read from written ``/proc/meminfo`` files."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from googlenet_edge.engine.api import TensorRT
from googlenet_edge.engine.flavour import Flavour
from googlenet_edge.engine.host import MemoryFacts, in_container, is_jetson, read_memory
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.engine.preflight import MemoryPlan, check_memory, estimate_bytes
from googlenet_edge.errors import EngineError

GRAPH_BYTES = 24 << 20
OPTIONS = BuildOptions()
TENSORRT = Flavour("tensorrt", "10.3.0", cast("TensorRT", None))
RTX = Flavour("tensorrt_rtx", "1.7.1", cast("TensorRT", None))


def machine(folder: Path, *, total_mib: int, free_mib: int, swap_mib: int = 0, jetson: bool = True) -> Path:
    """Write the files of a machine with so much memory."""
    (folder / "proc").mkdir()
    (folder / "proc/meminfo").write_text(
        f"MemTotal:       {total_mib << 10} kB\nMemFree:           100 kB\nMemAvailable:   {free_mib << 10} kB\n"
        f"SwapTotal:      {swap_mib << 10} kB\nSwapFree:       {swap_mib << 10} kB\n",
        encoding="utf-8",
    )
    if jetson:
        (folder / "proc/device-tree").mkdir()
        (folder / "proc/device-tree/compatible").write_bytes(b"nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    return folder


@pytest.mark.parametrize(("release", "expected"), [("5.15.148-tegra", True), ("6.8.0-31-generic", False)])
def test_in_a_container_the_kernel_tells_that_it_is_a_jetson(tmp_path: Path, release: str, *, expected: bool) -> None:
    kernel = tmp_path / "proc/sys/kernel/osrelease"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(f"{release}\n")
    assert is_jetson(tmp_path) is expected


def test_the_machine_is_read(tmp_path: Path) -> None:
    root = machine(tmp_path, total_mib=7620, free_mib=5000, swap_mib=3810)
    assert read_memory(root) == MemoryFacts(7620 << 20, 5000 << 20, 3810 << 20)
    assert is_jetson(root)
    assert not in_container(root)
    (root / ".dockerenv").touch()
    assert in_container(root)


def test_this_machine_has_memory() -> None:
    memory = read_memory()
    assert memory is not None
    assert memory.total_bytes >= memory.available_bytes > 0


def test_nothing_is_decided_without_a_meminfo(tmp_path: Path) -> None:
    assert read_memory(tmp_path) is None
    options = BuildOptions(workspace_bytes=1 << 30)
    assert check_memory(TENSORRT, GRAPH_BYTES, options, root=tmp_path) == MemoryPlan(1 << 30)


def test_a_large_machine_keeps_tensorrts_own_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, total_mib=64 << 10, free_mib=50 << 10)
    assert check_memory(TENSORRT, GRAPH_BYTES, OPTIONS, root=root) == MemoryPlan(None)


def test_a_board_under_8_gb_gets_a_smaller_workspace_and_is_told(tmp_path: Path) -> None:
    root = machine(tmp_path, total_mib=7620, free_mib=2216)
    plan = check_memory(TENSORRT, GRAPH_BYTES, OPTIONS, root=root)
    # Half of what is free beside 1 GiB and eight times the graph.
    assert plan.workspace_bytes == 500 << 20
    assert "limited to 500 MiB, because this board has 7.4 GiB" in plan.notes[0]
    assert (
        check_memory(TENSORRT, GRAPH_BYTES, BuildOptions(workspace_bytes=2 << 20), root=root).workspace_bytes == 2 << 20
    )


@pytest.mark.parametrize(("free_mib", "expected_mib"), [(7000, 1024), (1300, 64)])
def test_the_chosen_workspace_has_bounds(free_mib: int, expected_mib: int, tmp_path: Path) -> None:
    root = machine(tmp_path, total_mib=7620, free_mib=free_mib)
    assert check_memory(TENSORRT, GRAPH_BYTES, OPTIONS, root=root).workspace_bytes == expected_mib << 20


def test_too_little_memory_is_refused_with_advice_unless_ignored(tmp_path: Path) -> None:
    root = machine(tmp_path, total_mib=3956, free_mib=500, swap_mib=100)
    with pytest.raises(EngineError, match=r"got 0\.5 GiB of free memory and 0\.1 GiB of free swap, expected about 1"):
        check_memory(TENSORRT, GRAPH_BYTES, OPTIONS, root=root)
    with pytest.raises(EngineError, match=r"add swap .*--ignore-memory builds all the same"):
        check_memory(TENSORRT, GRAPH_BYTES, OPTIONS, root=root)
    plan = check_memory(TENSORRT, GRAPH_BYTES, OPTIONS, root=root, ignore=True)
    assert "expected about 1.2 GiB" in plan.notes[0]


def test_swap_counts_and_its_price_is_told(tmp_path: Path) -> None:
    root = machine(tmp_path, total_mib=3956, free_mib=500, swap_mib=4000)
    assert "it will swap, and be slow" in check_memory(TENSORRT, GRAPH_BYTES, OPTIONS, root=root).notes[0]


def test_a_large_workspace_on_a_board_is_warned_of_and_on_a_card_is_not(tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "desktop").mkdir()
    options = BuildOptions(workspace_bytes=4 << 30)
    board = machine(tmp_path / "board", total_mib=7620, free_mib=3000)
    assert "try a smaller one" in check_memory(TENSORRT, GRAPH_BYTES, options, root=board).notes[0]
    desktop = machine(tmp_path / "desktop", total_mib=7620, free_mib=3000, jetson=False)
    assert check_memory(TENSORRT, GRAPH_BYTES, options, root=desktop) == MemoryPlan(4 << 30)
    assert check_memory(TENSORRT, GRAPH_BYTES, OPTIONS, root=desktop) == MemoryPlan(None)


def test_rtx_takes_less_than_tensorrt() -> None:
    assert estimate_bytes(RTX, GRAPH_BYTES) == (256 + 8 * 24) << 20 < estimate_bytes(TENSORRT, GRAPH_BYTES)

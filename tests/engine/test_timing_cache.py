"""The timing cache on disk.

Only ``tensorrt`` itself has one, and it needs a GPU: a stand-in for the four calls that we make is injected here, whose
cache is a set of lines after a header with the device's name.
"""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from googlenet_edge.engine.api import TensorRT
from googlenet_edge.engine.flavour import Flavour
from googlenet_edge.engine.timing_cache import load_timings, save_timings, timing_cache_path

if TYPE_CHECKING:
    import tensorrt_rtx as trt

DEVICE = b"orin"


class Cache:
    """ITimingCache."""

    def __init__(self, content: bytes) -> None:
        self.header, *lines = content.split(b"\n") if content else [DEVICE]
        if not self.header.isalpha():
            raise RuntimeError("damaged")
        self.lines = set(lines)

    def combine(self, other: Cache, ignore_mismatch: bool) -> bool:
        if other.header != self.header and not ignore_mismatch:
            return False
        self.lines |= other.lines
        return True

    def serialize(self) -> bytes:
        return b"\n".join([self.header, *sorted(self.lines)])


class Config:
    """IBuilderConfig, as far as timings go."""

    def __init__(self) -> None:
        self.cache: Cache | None = None

    def create_timing_cache(self, content: bytes) -> Cache:
        return Cache(content)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        if cache.header != DEVICE and not ignore_mismatch:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Cache | None:
        return self.cache


def build(path: Path, tactic: bytes, *, meanwhile: bytes | None = None) -> set[bytes]:
    """Load, "time" a tactic, save; ``meanwhile`` is what another process writes in between. Return what was known."""
    config = Config()
    trt_config = cast("trt.IBuilderConfig", config)
    loaded = load_timings(trt_config, path)
    assert config.cache is not None
    known = set(config.cache.lines)
    config.cache.lines.add(tactic)
    if meanwhile is not None:
        path.write_bytes(meanwhile)
    save_timings(trt_config, path, loaded)
    return known


def test_timings_are_kept_for_the_next_build(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.timing"
    assert build(path, b"conv1") == set()
    assert build(path, b"conv2") == {b"conv1"}
    assert path.read_bytes() == b"orin\nconv1\nconv2"
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".a.timing.lock", "a.timing"]


def test_what_another_process_wrote_meanwhile_is_merged(tmp_path: Path) -> None:
    path = tmp_path / "a.timing"
    build(path, b"conv1")
    build(path, b"conv2", meanwhile=b"orin\nconv1\nconv9")
    assert path.read_bytes() == b"orin\nconv1\nconv2\nconv9"


@pytest.mark.parametrize("content", [b"xavier\nconv7", b"\x00\x01\x02", b"or"])
def test_a_file_of_another_device_or_a_damaged_one_is_replaced_with_a_warning(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.timing"
    path.write_bytes(content)
    assert build(path, b"conv1") == set()
    assert "TensorRT does not take it" in caplog.text
    assert path.read_bytes() == b"orin\nconv1"


def test_one_of_another_device_that_comes_meanwhile_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.timing"
    build(path, b"conv1", meanwhile=b"xavier\nconv7")
    assert "of another version or device: replaced" in caplog.text
    assert path.read_bytes() == b"orin\nconv1"


def test_a_place_that_cannot_be_written_costs_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    assert build(tmp_path / "file" / "a.timing", b"conv1") == set()
    (tmp_path / "taken.timing").mkdir()
    assert build(tmp_path / "taken.timing", b"conv1") == set()
    kept = [record for record in caplog.records if "the timing cache is not kept" in record.getMessage()]
    assert [record.levelno for record in kept] == [logging.WARNING] * 2


def test_many_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.timing"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=build, args=(path, f"conv{index}".encode())) for index in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 8
    assert path.read_bytes().split(b"\n")[1:] == [f"conv{index}".encode() for index in range(8)]


def test_each_tensorrt_and_each_device_has_its_own_file(tmp_path: Path) -> None:
    flavour = Flavour("tensorrt", "10.3.0", cast("TensorRT", None))
    assert timing_cache_path(tmp_path, flavour, "Orin (nvgpu)/x").name == "tensorrt-10.3.0-orin-nvgpu-x.timing"
    assert timing_cache_path(tmp_path, flavour, "///").name == "tensorrt-10.3.0-device.timing"

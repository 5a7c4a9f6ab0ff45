from __future__ import annotations

from pathlib import Path

from googlenet_edge.latency.watch.sensors.files import OpenFile, in_order, read_int, read_text


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_an_open_file_says_what_it_holds_now(tmp_path: Path) -> None:
    path = tmp_path / "temp"
    path.write_text("41000\n")
    file = OpenFile(path)
    assert file.read_int() == 41000
    path.write_text("97500\n")
    assert file.read_int() == 97500
    file.close()


def test_a_file_that_went_away_is_read_again_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "temp"
    file = OpenFile(path)
    assert file.read() is None
    path.write_text("41000\n")
    assert file.read() == "41000"
    file.close()


def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "temp"
    path.write_text("1")
    before = descriptors()
    files = [OpenFile(path) for _ in range(20)]
    for file in files:
        file.read()
    assert descriptors() == before + 20
    for file in files:
        file.close()
        file.close()
    assert descriptors() == before


def test_what_is_no_number_or_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("<unsupported>\n")
    (tmp_path / "string").write_bytes(b"NVIDIA Jetson\x00")
    assert read_int(tmp_path / "word") is None
    assert read_int(tmp_path / "absent") is None
    assert read_text(tmp_path / "string") == "NVIDIA Jetson"
    assert read_text(tmp_path) is None


def test_names_are_sorted_by_their_numbers() -> None:
    assert [path.name for path in in_order(map(Path, ("cpu10", "cpu2", "cpu1")))] == ["cpu1", "cpu2", "cpu10"]

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import InputError, OutputError
from googlenet_edge.latency.sample_format import MAGIC, MARK, MISSING, RECORD_BYTES, Column, columns_named
from googlenet_edge.latency.sample_reader import read_samples
from googlenet_edge.latency.sample_store import SampleStore, SampleStoreConfig

COLUMNS = columns_named(["sequence", "captured_ns", "emitted_ns"])


@contextmanager
def no_room() -> Iterator[None]:
    """Nothing can be written to a file beyond its first 4 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def sample(i: int) -> list[int]:
    return [i, 1_000_000 * i, 1_000_000 * i + 22_123_456]


def store(path: Path, **config: object) -> SampleStore:
    return SampleStore(path, COLUMNS, config=SampleStoreConfig(**config), clock=Clock())  # type: ignore[arg-type]


def written(path: Path, count: int, chunk: int = 10) -> bytes:
    """Write so many samples in chunks of so many, close the file and return its bytes."""
    with store(path, chunk_samples=chunk) as samples:
        for i in range(count):
            samples.append(sample(i))
    return path.read_bytes()


def test_all_samples_come_back_with_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "raw.samples"
    about = {"bundle": "signs \N{SNOWMAN}", "warmup": 10}
    with SampleStore(path, COLUMNS, about=about, config=SampleStoreConfig(chunk_samples=7)) as samples:
        assert all(samples.append(sample(i)) for i in range(100))
        assert (samples.kept, samples.not_kept) == (100, 0)
    found = read_samples(path)
    assert found.columns == (Column("sequence", ""), Column("captured_ns", "ns"), Column("emitted_ns", "ns"))
    assert found.rows.dtype == np.int64
    assert found.rows.tolist() == [sample(i) for i in range(100)]
    assert found.about == about
    assert (found.closed, found.full, found.not_kept, found.damage) == (True, None, 0, ())
    assert found.complete
    assert found.notes() == []


def test_a_run_without_a_sample_is_a_complete_file(tmp_path: Path) -> None:
    written(tmp_path / "raw", 0)
    found = read_samples(tmp_path / "raw")
    assert found.rows.shape == (0, 3)
    assert found.complete


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2), max_size=40),
    chunk=st.integers(1, 12),
)
def test_any_64_bit_integers_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], chunk: int
) -> None:
    path = tmp_path_factory.mktemp("store") / "raw"
    with SampleStore(path, columns_named(["a", "b"]), config=SampleStoreConfig(chunk_samples=chunk)) as samples:
        for row in rows:
            samples.append(row)
    assert read_samples(path).rows.tolist() == rows


def test_columns_can_be_added_and_are_missing_before(tmp_path: Path) -> None:
    with store(tmp_path / "raw") as samples:
        samples.append([1, 2, 3])
        samples.add_columns(columns_named(["device compute_ns"]))
        samples.append([4, 5, 6, 7])
        with pytest.raises(InputError, match=r"expected 4 64-bit integers: .*device compute_ns"):
            samples.append([1, 2, 3])
    found = read_samples(tmp_path / "raw")
    assert found.columns == (*COLUMNS, Column("device compute_ns", "ns"))
    assert found.rows.tolist() == [[1, 2, 3, MISSING], [4, 5, 6, 7]]
    assert found.complete


def test_a_chunk_is_written_when_it_has_its_samples(tmp_path: Path) -> None:
    with store(tmp_path / "raw", chunk_samples=10) as samples:
        for i in range(25):
            samples.append(sample(i))
            assert len(read_samples(tmp_path / "raw").rows) == (i + 1) // 10 * 10
        samples.flush()
        assert len(read_samples(tmp_path / "raw").rows) == 25


def test_a_chunk_is_written_when_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock()
    with SampleStore(tmp_path / "raw", COLUMNS, config=SampleStoreConfig(chunk_ns=1000), clock=clock) as samples:
        on_disk = []
        for now_ns in (0, 999, 1000, 1001, 1999, 2000):
            clock.now_ns = now_ns
            samples.append(sample(now_ns))
            on_disk.append(len(read_samples(tmp_path / "raw").rows))
    assert on_disk == [0, 0, 3, 3, 3, 6]


def test_what_is_there_while_the_run_goes_on_says_that_it_is_not_closed(tmp_path: Path) -> None:
    with store(tmp_path / "raw", chunk_samples=2) as samples:
        for i in range(4):
            samples.append(sample(i))
        found = read_samples(tmp_path / "raw")
    assert (found.closed, found.not_kept, found.complete, found.damage) == (False, None, False, ())
    assert [note for note in found.notes() if "not closed" in note and "4 samples" in note]


def test_beyond_the_bound_samples_are_counted_and_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "raw"
    with store(path, chunk_samples=10, max_bytes=4096) as samples:
        kept = [samples.append(sample(i)) for i in range(1000)]
        count = sum(kept)
        assert kept == [True] * count + [False] * (1000 - count)
        assert (samples.kept, samples.not_kept) == (count, 1000 - count)
        # A crash from here on: the file already says that it is full.
        assert read_samples(path).full is not None
        assert len(read_samples(path).rows) == count
    found = read_samples(path)
    assert found.rows.tolist() == [sample(i) for i in range(count)]
    assert found.not_kept == 1000 - count
    assert not found.complete
    assert found.notes() == [f"{found.full}: {1000 - count} later samples were not kept"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert 4096 - 512 - RECORD_BYTES - 24 < path.stat().st_size <= 4096
    assert "4096 bytes" in str(found.full)


def test_columns_that_do_not_fit_into_the_bound_end_it(tmp_path: Path) -> None:
    with store(tmp_path / "raw", max_bytes=4096) as samples:
        samples.append(sample(0))
        samples.add_columns(columns_named([f"column {i} {'x' * 40}" for i in range(100)]))
        assert not samples.append([1, 2, 3])
    found = read_samples(tmp_path / "raw")
    assert (found.rows.tolist(), found.not_kept, len(found.columns)) == ([sample(0)], 1, 3)


CRASH = """
    import sys
    from pathlib import Path
    from googlenet_edge.latency.sample_format import columns_named
    from googlenet_edge.latency.sample_store import SampleStore, SampleStoreConfig

    columns = columns_named(["sequence", "captured_ns", "emitted_ns"])
    store = SampleStore(Path(sys.argv[1]), columns, config=SampleStoreConfig(chunk_samples=50))
    i = 0
    while True:
        store.append([i, 1_000_000 * i, 1_000_000 * i + 22_123_456])
        i += 1
        if store.kept % 50 == 0:
            print(i, flush=True)
"""


def test_a_killed_run_leaves_what_it_measured(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    program = [sys.executable, "-c", textwrap.dedent(CRASH), str(path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            reported = 0
            deadline = time.monotonic() + 60
            while reported < 2000:
                assert select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0], "no progress"
                reported = int(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        assert process.returncode == -signal.SIGKILL
    found = read_samples(path)
    assert len(found.rows) >= reported
    assert found.rows.tolist() == [sample(i) for i in range(len(found.rows))]
    assert not found.closed
    assert not found.complete


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    from googlenet_edge.errors import OutputError
    from googlenet_edge.latency.sample_format import columns_named
    from googlenet_edge.latency.sample_store import SampleStore, SampleStoreConfig

    columns = columns_named(["sequence", "captured_ns", "emitted_ns"])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with SampleStore(Path(sys.argv[1]), columns, config=SampleStoreConfig(chunk_samples=10)) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        errors = []
        for i in range(1000):
            try:
                store.append([i, 1_000_000 * i, 1_000_000 * i + 22_123_456])
            except OutputError as error:
                errors.append(error)
    [error] = errors
    print(store.kept, store.not_kept, type(error.__cause__).__name__, error)
"""


def test_a_disk_that_gets_full_is_one_error_and_what_was_written_stays(tmp_path: Path) -> None:
    """The system takes a part of the chunk that does not fit, as on a full disk."""
    path = tmp_path / "raw"
    program = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    kept, not_kept, cause, message = done.stdout.split(maxsplit=3)
    found = read_samples(path)
    # The head is 8 + 2 records, a chunk 32 + 10 x 24 bytes: as many of those as go into 2000 bytes.
    assert path.stat().st_size <= 2000 < path.stat().st_size + RECORD_BYTES + 240
    assert found.rows.tolist() == [sample(i) for i in range(int(kept))]
    assert len(found.rows) >= 50
    assert int(kept) + int(not_kept) == 1000
    assert found.damage == ()
    assert not found.closed
    assert cause == "OSError"
    assert f"'{path}' cannot be written on: {os.strerror(errno.EFBIG)}; the {kept} samples before are in" in message


def test_a_disk_without_any_room_is_an_error_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(b"what stood there")
    with pytest.raises(OutputError, match=r"raw samples .* cannot be written"), no_room():
        SampleStore(path, COLUMNS)
    assert path.read_bytes() == b"what stood there"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_run_is_not_hidden_by_that_of_the_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run() -> None:
        with no_room(), samples:
            samples.append(sample(0))
            raise ValueError("of the run")

    samples = store(tmp_path / "raw")
    with pytest.raises(ValueError, match="of the run"):
        run()
    assert "not closed as they should be" in caplog.text
    assert (samples.kept, samples.not_kept) == (0, 1)


def test_closing_on_a_full_disk_is_an_error(tmp_path: Path) -> None:
    samples = store(tmp_path / "raw")
    samples.append(sample(0))
    with pytest.raises(OutputError, match="the 0 samples before are in the file"), no_room(), samples:
        pass
    samples.close()  # and it is closed
    assert read_samples(tmp_path / "raw").damage == ()


Harm = Callable[[bytes, int], bytes]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_whatever_was_cut_off_the_whole_chunks_before_it_are_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("store") / "raw"
    whole = written(path, 35)
    size = len(whole)
    # From behind: DONE, a chunk of 5, three of 10.
    done = size - whole.rindex(MARK)
    last, chunk = RECORD_BYTES + 5 * 24, RECORD_BYTES + 10 * 24
    cut = data.draw(st.integers(1, done + last + 3 * chunk))
    path.write_bytes(whole[:-cut])
    found = read_samples(path)
    ends = [done + last + n * chunk for n in (0, 1, 2, 3)]
    kept = 35 if cut <= done else 30 - 10 * sum(cut > end for end in ends)
    if done < cut < done + last:
        kept = 30
    assert found.rows.tolist() == [sample(i) for i in range(kept)]
    assert not found.complete
    if cut in (done, *ends):
        assert found.damage == ()
    else:
        [damage] = found.damage
        assert damage.at_byte + damage.size_bytes == size - cut
        assert "are there" in damage.reason
        assert f"at byte {damage.at_byte}: {damage.size_bytes} bytes that are no whole record" in found.notes()[0]


@pytest.mark.parametrize(
    ("harm", "lost"),
    [
        (lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], 10),
        (lambda data, at: data[:at] + bytes(300) + data[at + 300 :], 20),  # they reach into the fourth
        (lambda data, at: data[:at] + data[at + 7 :], 10),
        (lambda data, at: data[:at] + b"inserted \x93rec ROWS" + data[at:], 10),
    ],
)
@pytest.mark.parametrize("offset", [1, 5, 9, 13, 17, 21, 29, 40])
def test_behind_a_damaged_chunk_the_others_are_read(tmp_path: Path, harm: Harm, lost: int, offset: int) -> None:
    path = tmp_path / "raw"
    whole = written(path, 60)
    chunk = RECORD_BYTES + 10 * 24
    at = whole.rindex(MARK) - 4 * chunk + offset  # in the third of six
    path.write_bytes(harm(whole, at))
    found = read_samples(path)
    assert found.rows.tolist() == [sample(i) for i in [*range(20), *range(20 + lost, 60)]]
    assert sum(damage.samples or 0 for damage in found.damage) == lost
    assert found.closed
    assert not found.complete
    assert f"{lost} samples lost" in found.notes()[0]


def test_samples_of_unknown_columns_are_not_read_as_if_they_were_others(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    with store(path) as samples:
        samples.append([1, 2, 3])
        samples.add_columns(columns_named(["more_ns"]))
        for i in range(3):  # 12 integers: it could be four samples of three columns
            samples.append([i, i, i, i])
    whole = path.read_bytes()
    at = whole.index(b"more_ns")
    path.write_bytes(whole[:at] + b"M" + whole[at + 1 :])
    found = read_samples(path)
    assert found.rows.tolist() == [[1, 2, 3]]
    assert any("have 4 columns" in damage.reason and damage.samples == 3 for damage in found.damage)


def test_rubbish_between_chunks_loses_no_sample(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    whole = written(path, 20)
    at = whole.rindex(MARK) - RECORD_BYTES - 240
    path.write_bytes(whole[:at] + b"rubbish" + whole[at:])
    found = read_samples(path)
    assert found.rows.tolist() == [sample(i) for i in range(20)]
    assert [(damage.at_byte, damage.size_bytes, damage.samples) for damage in found.damage] == [(at, 7, 0)]


def test_a_copy_of_an_earlier_chunk_is_not_read_twice(tmp_path: Path) -> None:
    """As after a power cut, when a block of the disk has what it had before."""
    path = tmp_path / "raw"
    whole = written(path, 40)
    chunk = RECORD_BYTES + 240
    at = whole.rindex(MARK) - 2 * chunk
    path.write_bytes(whole[:at] + whole[at - 2 * chunk : at - chunk] + whole[at + chunk :])
    found = read_samples(path)
    assert found.rows.tolist() == [sample(i) for i in [*range(20), *range(30, 40)]]
    assert [(damage.reason, damage.samples) for damage in found.damage] == [("it is a copy of an earlier one", 10)]


def test_records_that_are_cut_out_are_missed(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    whole = written(path, 40)
    chunk = RECORD_BYTES + 240
    at = whole.rindex(MARK) - 3 * chunk
    path.write_bytes(whole[:at] + whole[at + 2 * chunk :])
    found = read_samples(path)
    assert found.rows.tolist() == [sample(i) for i in [*range(10), *range(30, 40)]]
    assert not found.complete
    assert found.notes() == [f"at byte {at}: 2 records are missing, 20 samples lost"]


def test_rubbish_behind_the_end_is_said(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(written(path, 5) + b"rubbish" * 30)
    found = read_samples(path)
    assert (len(found.rows), found.complete) == (5, False)
    assert found.damage[0].size_bytes == 210


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"sequence,captured_ns\n1,2\n", "another kind of file"),
        (MAGIC[:-1], "another kind of file"),
        (MAGIC[:-1] + b"\x02rest", "got version 2 of the format, expected 1"),
        (MAGIC, "names the columns is damaged"),
        (MAGIC + b"\xff" * 100, "names the columns is damaged"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "raw"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_samples(path)


def test_a_file_that_cannot_be_opened_is_one_message(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, Path("a\0b")):
        with pytest.raises(InputError, match="cannot be read"):
            read_samples(path)


def test_a_file_that_another_run_is_writing_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    with store(path) as samples:
        samples.append(sample(0))
        with pytest.raises(OutputError, match="being written by another process"):
            store(path)
        samples.append(sample(1))
    assert len(read_samples(path).rows) == 2
    assert len(written(path, 3)) > 0  # once it is closed, the next run takes its place
    assert len(read_samples(path).rows) == 3


@pytest.mark.parametrize("place", ["none/raw", "."])
def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path, place: str) -> None:
    with pytest.raises(OutputError, match="raw samples"):
        SampleStore(tmp_path / place, COLUMNS)


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not a regular file"):
        SampleStore(tmp_path / "pipe", COLUMNS)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("raw")
    written(tmp_path / "link", 2)
    assert (tmp_path / "link").is_symlink()
    assert len(read_samples(tmp_path / "raw").rows) == 2


def test_it_waits_for_the_disk_at_its_beginning_and_its_end_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    with store(tmp_path / "raw", chunk_samples=10) as samples:
        for i in range(30):
            samples.append(sample(i))
        assert len(calls) == 1
    assert len(calls) == 2


@pytest.mark.parametrize("values", [[], [1, 2], [1, 2, 3, 4], [1, 2, 2**63], [1, 2, 3.5], [1, 2, None]])
def test_other_than_an_integer_for_each_column_is_refused(tmp_path: Path, values: list[int]) -> None:
    with store(tmp_path / "raw") as samples:
        with pytest.raises(InputError, match="expected 3 64-bit integers: sequence, captured_ns, emitted_ns"):
            samples.append(values)
        samples.append(sample(0))
    assert read_samples(tmp_path / "raw").rows.tolist() == [sample(0)]


def test_after_closing_nothing_is_taken_and_closing_again_does_nothing(tmp_path: Path) -> None:
    samples = store(tmp_path / "raw")
    samples.close()
    samples.close()
    samples.flush()
    with pytest.raises(InputError, match=r"after close\(\)"):
        samples.append(sample(0))
    assert read_samples(tmp_path / "raw").complete


@pytest.mark.parametrize("names", [[], ["a", "a"], [f"column {i}" for i in range(129)]])
def test_columns_of_no_or_the_same_name_or_too_many_are_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError, match="expected 1 to 128 of different names"):
        SampleStore(tmp_path / "raw", columns_named(names))
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("about", [{"clock": time}, {"nan": float("nan")}, {"long": "x" * (1 << 20)}])
def test_an_about_that_cannot_be_written_is_refused(tmp_path: Path, about: dict[str, object]) -> None:
    with pytest.raises(InputError, match="about"):
        SampleStore(tmp_path / "raw", COLUMNS, about=about)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_bytes": 4095},
        {"chunk_samples": 0},
        {"chunk_samples": 1025},
        {"chunk_ns": -1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(InputError, match=f"{name}={value!r}"):
        SampleStoreConfig(**wrong)  # type: ignore[arg-type]


def test_the_widest_samples_go_into_a_chunk(tmp_path: Path) -> None:
    columns = columns_named([f"column {i}" for i in range(128)])
    with SampleStore(tmp_path / "raw", columns, config=SampleStoreConfig(chunk_samples=1024), clock=Clock()) as samples:
        for i in range(1025):
            samples.append([i] * 128)
    assert read_samples(tmp_path / "raw").rows[:, 127].tolist() == list(range(1025))


def test_what_a_crashed_run_left_can_be_told_as_json(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    with SampleStore(path, COLUMNS, about={"bundle": {"precision": "int8"}}) as samples:
        samples.append(sample(0))
    path.write_bytes(path.read_bytes()[:-20])
    assert json.dumps(dict(read_samples(path).about)) == '{"bundle": {"precision": "int8"}}'


def test_keeping_a_sample_takes_microseconds(tmp_path: Path) -> None:
    columns = columns_named([f"column {i}" for i in range(12)])
    values = [20_000_000 + i for i in range(12)]
    best_ns = float("inf")
    with SampleStore(tmp_path / "raw", columns, config=SampleStoreConfig(max_bytes=64 << 20)) as samples:
        for _ in range(20):  # the best of them: a busy machine slows down some
            started_ns = time.perf_counter_ns()
            for _ in range(5000):
                samples.append(values)
            best_ns = min(best_ns, (time.perf_counter_ns() - started_ns) / 5000)
    assert best_ns < 10_000

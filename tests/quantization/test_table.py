from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import CalibrationError, OutputError
from googlenet_edge.quantization.image_summary import ImageSummary, ImageWarning, UnreadableImage
from googlenet_edge.quantization.table import CalibrationSettings, CalibrationTable, CompactHistogram, TensorRange
from googlenet_edge.quantization.table_file import NotATableError, decode_table, encode_table, read_table, write_table
from googlenet_edge.quantization.threshold import METHODS, Method

NUMBERS = st.floats(min_value=0, max_value=1e30, allow_subnormal=True)


@st.composite
def ranges(draw: st.DrawFn, name: str) -> TensorRange:
    amax = draw(st.floats(2.0**-90, 1e30))
    dead = draw(st.booleans())
    shares: dict[Method, float] = {method: draw(st.floats(0, 1)) for method in METHODS}
    found: dict[Method, float] = {m: 0.0 if dead else amax * draw(st.floats(0.001, 1)) for m in METHODS}
    channels = draw(st.lists(st.tuples(st.floats(-1e30, 1e30), st.floats(0, amax)), max_size=4))
    histogram = CompactHistogram(
        bin_width=draw(st.floats(1e-30, 1e30)),
        counts=tuple(draw(st.lists(st.integers(0, 2**60), max_size=5))),
        zeros=draw(st.integers(0, 2**60)),
    )
    return TensorRange(
        tensor=name, amax=amax, dead=dead, thresholds=found, clipped_share=shares, histogram=histogram,
        channel_mean=tuple(mean for mean, _ in channels), channel_amax=tuple(amax for _, amax in channels),
        channel_expected=tuple(amax * draw(st.floats(1, 3)) for _, amax in channels),
    )  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> CalibrationTable:
    names = draw(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=3, unique=True))
    text = draw(st.text(max_size=20))
    return CalibrationTable(
        schema_version=2,
        created="2025-01-31T12:00:00Z",
        model_sha256="a" * 64,
        images_sha256="b" * 64,
        image_count=draw(st.integers(1, 10**6)),
        settings=CalibrationSettings(resize_px=256, crop_px=224, interpolation="halve-linear", bins=4096),
        images=ImageSummary(
            source=text, asked=512, near_duplicates=3, duplicates_dropped=0, grey=1, blank=0,
            unreadable=(UnreadableImage("[ 1,\n 2 ]" + text, "because"),),
            warnings=(ImageWarning("too-few", "few " + text),),
        ),
        tools={"numpy": "2"},
        tensors=tuple(draw(ranges(name)) for name in names),
    )  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(tables())
def test_a_round_trip_gives_the_same_table(table: CalibrationTable) -> None:
    content = encode_table(table)
    assert decode_table(content, "t") == table
    assert encode_table(decode_table(content, "t")) == content
    assert json.loads(content)["tensors"][0]["amax"] == table.tensors[0].amax


def test_it_can_be_read_by_people(small_table: CalibrationTable) -> None:
    lines = encode_table(small_table).decode().splitlines()
    assert lines[1] == ' "schema_version": 2,'
    assert any(line.strip().startswith('"channel_mean": [') and line.count(",") > 2 for line in lines)
    assert len(lines) < 60 * len(small_table.tensors)


def test_dead_tensors_and_channels_are_told(small_table: CalibrationTable) -> None:
    assert small_table["module.concat"].dead_channels == (5, 6)
    assert not small_table["module.concat"].dead
    assert small_table.threshold("pool1", "max") == small_table["pool1"].amax > 0
    assert "pool1" in small_table
    assert "relu1" not in small_table


def test_another_graph_images_or_settings_are_refused_with_both_hashes(small_table: CalibrationTable) -> None:
    small_table.check(
        model_sha256=small_table.model_sha256, images_sha256=small_table.images_sha256, settings=small_table.settings
    )
    small_table.check()
    right = {"model": small_table.model_sha256, "images": small_table.images_sha256}
    for what, own in right.items():
        hashes = {**right, what: "c" * 64}
        with pytest.raises(CalibrationError) as refusal:
            small_table.check(model_sha256=hashes["model"], images_sha256=hashes["images"])
        assert "c" * 64 in str(refusal.value)
        assert own in str(refusal.value)
        assert "googlenet-edge calibrate" in str(refusal.value)
    with pytest.raises(CalibrationError, match="resize_px 36, expected 256"):
        small_table.check(settings=msgspec.structs.replace(small_table.settings, resize_px=256))


def test_a_missing_tensor_is_refused_by_name(small_table: CalibrationTable) -> None:
    small_table.require(small_table.names)
    smaller = msgspec.structs.replace(small_table, tensors=small_table.tensors[1:])
    with pytest.raises(CalibrationError, match=r"'input\.add' missing"):
        smaller.require(small_table.names)
    with pytest.raises(CalibrationError, match=r"'input\.add' is missing"):
        smaller.threshold("input.add", "max")
    with pytest.raises(CalibrationError, match="'t3' and 6 more missing"):
        smaller.require([f"t{i}" for i in range(10)])


def _set(path: str, value: object) -> Callable[[Any], None]:
    def change(fields: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            fields = fields[int(step) if step.isdigit() else step]
        fields[last] = value

    return change


def _delete(fields: Any) -> None:
    del fields["tensors"][0]["thresholds"]["mse"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_set("schema_version", 3), "schema_version 3, expected 2; upgrade"),
        (_set("schema_version", 1), "schema_version 1, expected 2; calibrate again"),
        (_set("surprise", 1), "surprise"),
        (_set("tensors.0.surprise", 1), "surprise"),
        (_set("settings.surprise", 1), "surprise"),
        (_set("tensors.0.amax", -1), "amax -1.0"),
        (_set("tensors.0.amax", None), "amax"),
        (_set("tensors.0.amax", "3"), "amax"),
        (_set("tensors.0.thresholds.max", -0.5), "threshold -0.5 by max"),
        (_set("tensors.0.thresholds.max", 1e9), "threshold 1000000000.0"),
        (_set("tensors.0.thresholds.max", 0), "threshold 0.0"),
        (_set("tensors.0.thresholds.median", 1), "median"),
        (_delete, "thresholds for"),
        (_set("tensors.0.clipped_share.max", 2), "clipped shares"),
        (_set("tensors.0.channel_mean", [0.0]), "1 means and 3 maxima"),
        (_set("tensors.0.channel_expected", [0.0]), "and 1 that are expected"),
        (_set("tensors.0.channel_expected", [0.0, 0.0, 0.0]), "expected to stay below its maximum"),
        (_set("tensors.0.thresholds.expected-max", -1.0), "threshold -1.0 by expected-max"),
        (_set("tensors.0.channel_amax", [0.0, -1.0, 0.0]), "not finite, or beyond"),
        (_set("tensors.0.tensor", ""), "empty name"),
        (_set("tensors.0.tensor", "pool1"), "'pool1' twice"),
        (_set("tensors.0.histogram.counts", [-1]), "no negative counts"),
        (_set("tensors", []), "expected each tensor once"),
        (_set("model_sha256", "xyz"), "'xyz'"),
        (_set("image_count", 0), "image_count: got 0"),
        (_set("created", "yesterday"), "yesterday"),
        (_set("images.warnings", [{"code": "odd", "message": ""}]), "odd"),
    ],
)
def test_what_cannot_be_is_refused(small_table: CalibrationTable, change: Callable[[Any], None], match: str) -> None:
    fields = json.loads(encode_table(small_table))
    change(fields)
    with pytest.raises(CalibrationError, match=match) as refusal:
        decode_table(json.dumps(fields).encode(), "calibration table 'x'")
    assert "calibration table 'x'" in str(refusal.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
def test_no_number_but_finite_ones(small_table: CalibrationTable, number: str) -> None:
    fields = json.loads(encode_table(small_table))
    fields["tensors"][0]["amax"] = "HERE"
    with pytest.raises(CalibrationError):
        decode_table(json.dumps(fields).replace('"HERE"', number).encode(), "t")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damage_is_one_clear_error(data: st.DataObject) -> None:
    content = encode_table(data.draw(tables()))
    cut = content[: data.draw(st.integers(0, len(content) - 3))]
    with pytest.raises(CalibrationError):
        decode_table(cut, "t")
    position = data.draw(st.integers(0, len(content) - 1))
    damaged = content[:position] + bytes([data.draw(st.integers(0, 255))]) + content[position + 1 :]
    try:
        decode_table(damaged, "t")  # a changed digit may still be a table
    except CalibrationError as error:
        assert str(error)  # noqa: PT017 - any other exception fails the test


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_what_never_was_a_table(content: bytes) -> None:
    with pytest.raises(NotATableError):
        decode_table(content, "t")


def test_files(small_table: CalibrationTable, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    write_table(small_table, path)
    assert read_table(path) == small_table
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["table.json"]
    for bad in (tmp_path / "none.json", tmp_path, Path("a\0b")):
        with pytest.raises(CalibrationError, match="cannot be read"):
            read_table(bad)
    with pytest.raises(OutputError):
        write_table(small_table, tmp_path)


def test_a_full_disk_leaves_the_old_table(small_table: CalibrationTable, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    write_table(small_table, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(OutputError, match="calibration table"):
            write_table(msgspec.structs.replace(small_table, image_count=11), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read_table(path) == small_table
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["table.json"]

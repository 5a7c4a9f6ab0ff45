from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from googlenet_edge.errors import CalibrationError, InputError, OutputError
from googlenet_edge.graph.store import sha256_of
from googlenet_edge.quantization.cache import CalibrationCache, check_cache, parse_cache, to_cache, write_cache
from googlenet_edge.quantization.cache_ranges import all_ranges, tensors_to_observe
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.placement import scale_groups
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.quantization.threshold import METHODS

SCALES = st.floats(2.0**-126, 2.0**127, width=32)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1).filter(
    lambda name: name == name.strip()
)


def float32(value: float) -> float:
    return float(np.float32(value))


def test_the_format_is_tensorrts() -> None:
    cache = CalibrationCache({"image": 1.0, "a: b": float32(2.54 / 127)}, 8600)
    assert cache.encode() == b"TRT-8600-EntropyCalibration2\nimage: 3f800000\na: b: 3ca3d70a\n"
    assert parse_cache(cache.encode()) == cache
    # A line as TensorRT writes it: 1/127, big-endian.
    assert struct.unpack(">f", bytes.fromhex("3c010204"))[0] == pytest.approx(1 / 127)
    assert parse_cache(b"TRT-100300-MinMaxCalibration\r\nx: 3c010204").scales["x"] == float32(1 / 127)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, SCALES, max_size=5), st.integers(1, 10**7))
def test_a_round_trip_gives_the_same_scales(scales: dict[str, float], version: int) -> None:
    cache = CalibrationCache(scales, version)
    assert parse_cache(cache.encode()) == cache
    assert list(parse_cache(cache.encode()).scales) == list(scales)


def test_every_tensor_of_the_graph_has_a_line(small_graph: onnx.ModelProto, small_table: CalibrationTable) -> None:
    cache = to_cache(small_table, small_graph, method="max")
    made = [name for node in small_graph.graph.node for name in node.output]
    assert list(cache.scales) == ["image", *made]
    of = cache.scales
    assert of["image"] == of["input.cast"] == of["input.transpose"] == float32(255 / 127)
    assert of["input.mul"] == pytest.approx(2 / 127)
    assert of["conv1"] == of["relu1"] == of["pool1"] == float32(small_table["pool1"].amax / 127)
    assert of["a.conv"] == of["a.relu"] == of["b.conv"] == of["b.relu"] == of["module.concat"]
    assert of["avgpool"] == of["flatten"] != of["module.concat"]
    assert of["probabilities"] == float32(1 / 127)
    assert parse_cache(cache.encode()) == cache


def test_the_ranges_hold_what_the_graph_computes(
    small_graph: onnx.ModelProto, small_images: CalibrationImages, small_table: CalibrationTable
) -> None:
    """Nothing is clipped at the largest value, but what a ReLU cuts off or a pool leaves behind."""
    names = [name for node in small_graph.graph.node for name in node.output]
    model = onnx.ModelProto()
    model.CopyFrom(small_graph)
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    found: list[npt.NDArray[np.float32]] = [
        np.asarray(value) for value in ReferenceEvaluator(model).run(None, {"image": small_images.read(0, 10)})
    ]
    ranges = all_ranges(small_graph, {entry.tensor: entry.amax for entry in small_table.tensors})
    for name, values in zip(names, found, strict=True):
        if name not in ("conv1", "relu1", "a.conv", "b.conv"):  # what these have beyond is cut off or pooled away
            assert np.abs(values).max() <= ranges[name] * (1 + 1e-5), name


def test_methods_by_tensor_and_dead_tensors(small_graph: onnx.ModelProto, small_table: CalibrationTable) -> None:
    cache = to_cache(small_table, small_graph, method={"pool1": "mse"}, version=8600)
    assert cache.version == 8600
    assert cache.scales["pool1"] == float32(small_table.threshold("pool1", "mse") / 127)
    assert cache.scales["logits"] == float32(small_table.threshold("logits", "max") / 127)
    dead = msgspec.structs.replace(
        small_table["pool1"], dead=True, thresholds=dict.fromkeys(METHODS, 0.0), amax=0.0, channel_amax=(0.0,) * 4
    )
    others = tuple(dead if entry.tensor == "pool1" else entry for entry in small_table.tensors)
    table = msgspec.structs.replace(small_table, tensors=others)
    assert to_cache(table, small_graph).scales["pool1"] > 0
    with pytest.raises(InputError, match="'median'"):
        to_cache(small_table, small_graph, method="median")  # type: ignore[arg-type]


def test_a_concat_has_the_largest_of_its_branches(small_graph: onnx.ModelProto) -> None:
    known = dict.fromkeys(("input.add", "pool1", "flatten", "logits"), 1.0)
    ranges = all_ranges(small_graph, {**known, "a.relu": 3.0, "b.relu": 5.0})
    assert (ranges["a.relu"], ranges["b.relu"], ranges["module.concat"]) == (3.0, 5.0, 5.0)
    assert all_ranges(small_graph, {**known, "module.concat": 2.0, "a.relu": 3.0})["module.concat"] == 3.0


def test_a_table_of_another_graph_is_refused(small_table: CalibrationTable, poisoned_graph: onnx.ModelProto) -> None:
    with pytest.raises(CalibrationError, match=small_table.model_sha256):
        to_cache(small_table, poisoned_graph)


def test_a_missing_tensor_is_an_error_that_names_it(
    small_graph: onnx.ModelProto, small_table: CalibrationTable
) -> None:
    for missing, named in (("logits", "'logits', made by Gemm 'fc'"), ("module.concat", "'a.conv', made by Conv")):
        fewer = tuple(entry for entry in small_table.tensors if entry.tensor != missing)
        with pytest.raises(CalibrationError, match=named):
            to_cache(msgspec.structs.replace(small_table, tensors=fewer), small_graph)


def test_what_has_to_be_observed_is_found(small_graph: onnx.ModelProto, small_tensors: tuple[str, ...]) -> None:
    groups = [group.tensor for group in scale_groups(small_graph)]
    needed = tensors_to_observe(small_graph, groups)
    assert set(groups) <= set(needed)
    assert needed == small_tensors
    assert set(tensors_to_observe(small_graph, [])) == {"pool1", "module.concat", "flatten", "logits"}
    all_ranges(small_graph, dict.fromkeys(needed, 1.0))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "first line ''"),
        (b"\xff\xfe", "no text"),
        (b"TRT-x-EntropyCalibration2\n", "first line"),
        (b"TRT-8600-E\nimage 3f800000\n", "line 2"),
        (b"TRT-8600-E\nimage: 3f80000\n", "line 2"),
        (b"TRT-8600-E\nimage: 3f800000\nimage: 3f800000\n", "line 3: got 'image: 3f800000' a second time"),
        (b"TRT-8600-E\nimage: 00000000\n", "'image': got scale 0.0"),
        (b"TRT-8600-E\nimage: bf800000\n", "scale -1.0"),
        (b"TRT-8600-E\nimage: 7fc00000\n", "scale nan"),
        (b"TRT-8600-E\nimage: 7f800000\n", "scale inf"),
    ],
)
def test_damaged_caches_are_refused(content: bytes, match: str) -> None:
    with pytest.raises(CalibrationError, match=match) as refusal:
        parse_cache(content, "calib.bin")
    assert str(refusal.value).startswith("calib.bin")


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_cache_or_one_clear_error(content: bytes) -> None:
    for data in (content, b"TRT-8600-E\n" + content):
        with contextlib.suppress(CalibrationError):
            parse_cache(data)


@pytest.mark.parametrize(
    ("scales", "version"),
    [({"a\nb": 1.0}, 1), ({"": 1.0}, 1), ({" a": 1.0}, 1), ({"a": 0.1}, 1), ({"a": 1e300}, 1), ({}, 0)],
)
def test_what_cannot_be_written_is_refused(scales: dict[str, float], version: int) -> None:
    with pytest.raises(InputError):
        CalibrationCache(scales, version)


def test_files(tmp_path: Path) -> None:
    write_cache(CalibrationCache({"a": 1.0}), tmp_path / "calibration.cache")
    assert (tmp_path / "calibration.cache").read_text() == "TRT-100300-EntropyCalibration2\na: 3f800000\n"
    with pytest.raises(OutputError):
        write_cache(CalibrationCache({"a": 1.0}), tmp_path / "no" / "calibration.cache")


class TestBeforeTheRun:
    @pytest.mark.parametrize("version", [8600, 8601, 7103, 100300, 101303, 109999])
    def test_nothing_is_written_when_all_is_well(
        self, small_graph: onnx.ModelProto, small_tensors: tuple[str, ...], tmp_path: Path, version: int
    ) -> None:
        check_cache(small_graph, small_tensors, tmp_path / "new.cache", version=version)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("version", [-8600, 0, 8, 86, 860, 10_300, 110_000, 1_003_000])
    def test_versions_that_no_calibrating_tensorrt_has(
        self, small_graph: onnx.ModelProto, small_tensors: tuple[str, ...], tmp_path: Path, version: int
    ) -> None:
        with pytest.raises(InputError, match=rf"got TensorRT {version}, expected.*10\.3\.0 is 100300"):
            check_cache(small_graph, small_tensors, tmp_path / "new.cache", version=version)

    def test_a_tensor_that_will_not_follow(
        self, small_graph: onnx.ModelProto, small_tensors: tuple[str, ...], tmp_path: Path
    ) -> None:
        with pytest.raises(CalibrationError, match="'logits', made by Gemm 'fc'"):
            check_cache(small_graph, [name for name in small_tensors if name != "logits"], tmp_path / "new.cache")

    def test_a_name_that_does_not_fit(
        self, small_graph: onnx.ModelProto, small_tensors: tuple[str, ...], tmp_path: Path
    ) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(small_graph)
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = ["relu\n1" if name == "relu1" else name for name in names]
        with pytest.raises(InputError, match=r"'relu\\n1', expected one that fits on a line"):
            check_cache(model, small_tensors, tmp_path / "new.cache")

    def test_only_a_cache_is_replaced(
        self, small_graph: onnx.ModelProto, small_tensors: tuple[str, ...], tmp_path: Path
    ) -> None:
        for content in (b"", b"TRT-8600-EntropyCalibration2\nold: 3c010204\n"):
            (tmp_path / "old.cache").write_bytes(content)
            check_cache(small_graph, small_tensors, tmp_path / "old.cache")
        (tmp_path / "diary").write_bytes(b"dear diary")
        with pytest.raises(OutputError, match=r"'.*diary': there is a file that is no calibration cache"):
            check_cache(small_graph, small_tensors, tmp_path / "diary")
        assert (tmp_path / "diary").read_bytes() == b"dear diary"
        for impossible in (tmp_path, tmp_path / "no" / "cache"):
            with pytest.raises(OutputError, match="cannot be written"):
                check_cache(small_graph, small_tensors, impossible)


def test_ranges_that_float32_does_not_hold_are_an_error_not_a_crash(
    small_graph: onnx.ModelProto, small_table: CalibrationTable
) -> None:
    """The head multiplies by a constant, which may be anything."""
    model = onnx.ModelProto()
    model.CopyFrom(small_graph)
    factor = next(tensor for tensor in model.graph.initializer if tensor.name == "input.multiplier")
    factor.CopyFrom(onnx.numpy_helper.from_array(np.full((1, 3, 1, 1), 3e38, np.float32), factor.name))
    table = msgspec.structs.replace(small_table, model_sha256=sha256_of(model))
    with pytest.raises(InputError, match=r"'input\.mul': got scale inf"):
        to_cache(table, model)

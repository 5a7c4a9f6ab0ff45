from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.bundle import (
    Accuracy,
    Artefact,
    Bundle,
    BundleFacts,
    Comparison,
    FileRecord,
    GoldenRecord,
    Lineage,
    Manifest,
    PrecisionRow,
)
from googlenet_edge.bundle.codec import decode_manifest, encode_manifest
from googlenet_edge.errors import BundleError, InputError
from googlenet_edge.types import TensorSpec


@pytest.fixture
def manifest(tiny_bundle: Path) -> Manifest:
    return Bundle.open(tiny_bundle).manifest


def altered(manifest: Manifest, change: Callable[[dict[str, Any]], object]) -> bytes:
    fields = json.loads(encode_manifest(manifest))
    change(fields)
    return json.dumps(fields).encode()


def test_what_is_written_is_read_back(manifest: Manifest) -> None:
    assert manifest.steps[0].agreements[0].sqnr_db == math.inf
    assert decode_manifest(encode_manifest(manifest), "m") == manifest


def test_the_json_is_plain_indented_and_begins_with_its_version(manifest: Manifest) -> None:
    text = encode_manifest(manifest).decode()
    assert text.startswith('{\n  "schema_version": 2,\n  "name": "tiny",\n')
    assert text.endswith("}\n")

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    fields = json.loads(text, parse_constant=refuse)
    assert fields["steps"][0]["agreements"][0]["sqnr_db"] is None
    assert list(fields)[-1] == "nodes"


@settings(deadline=None, max_examples=30)
@given(labels=st.lists(st.text(st.characters(codec="utf-8")), min_size=5, max_size=5), top1=st.floats(0, 100))
def test_any_label_and_figure_comes_back(tiny_facts: BundleFacts, labels: list[str], top1: float) -> None:
    record = FileRecord("a", "0" * 64, 1)
    facts = replace(tiny_facts, labels=tuple(labels), accuracy=(Accuracy("x", 3, top1, 100.0),))
    manifest = Manifest(
        **vars(facts), schema_version=2, created="2025-01-31T12:00:00Z", graph="a", golden=GoldenRecord("a", 1, 0.5),
        files=(record,),
    )  # fmt: skip
    assert decode_manifest(encode_manifest(manifest), "m") == manifest


def test_numpy_numbers_are_written_as_plain_ones(manifest: Manifest) -> None:
    accuracy = Accuracy("x", np.int64(3), np.float32(50.0), np.float64(75.0))  # type: ignore[arg-type]
    text = encode_manifest(replace(manifest, accuracy=(accuracy,)))
    assert decode_manifest(text, "m").accuracy == (Accuracy("x", 3, 50.0, 75.0),)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": "NaN"},
        {"name": Path("x")},
        {"labels": tuple(range(5))},
        {"tools": {"torch": 2.13}},
    ],
)
def test_a_field_that_json_could_not_give_back_is_refused_when_written(
    manifest: Manifest, change: dict[str, Any]
) -> None:
    if change == {"steps": "NaN"}:
        step = manifest.steps[0]
        change = {"steps": (replace(step, agreements=(replace(step.agreements[0], max_abs_error=math.nan),)),)}
    with pytest.raises(InputError, match=r"^manifest: .*; every field must be"):
        encode_manifest(replace(manifest, **change))


def test_an_sqnr_of_minus_infinity_is_not_taken_for_plus_infinity(manifest: Manifest) -> None:
    step = manifest.steps[0]
    worst = replace(step, agreements=(replace(step.agreements[0], sqnr_db=-math.inf),))
    with pytest.raises(InputError, match="expected a number above -inf"):
        encode_manifest(replace(manifest, steps=(worst,)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"m: got 0 bytes that are no JSON \(.*\); copy the bundle again"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"\x00" * 50, "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b"[]", "m: got no integer schema_version, expected 2"),
        (b"null", "no integer schema_version"),
        (b"{}", "no integer schema_version"),
        (b'{"schema_version": "1"}', "no integer schema_version"),
        (b'{"schema_version": true}', "no integer schema_version"),
        (b'{"schema_version": 2}', "missing required field"),
        (b'{"schema_version": 2, "steps": 5}', "missing required field|Expected"),
        (b'{"schema_version": 2, "steps": [5, {"agreements": [7]}]}', "missing required field|Expected"),
        (b'{"schema_version": 3}', r"got schema_version 3, made by a newer .* \(unknown\); this one reads 2"),
        (b'{"schema_version": 9, "tools": {"googlenet_edge": "3.1"}}', r"newer googlenet_edge \(3\.1\).*upgrade"),
        (b'{"schema_version": 0, "tools": 4}', "an older googlenet_edge .*make the bundle again"),
    ],
)  # fmt: skip
def test_text_that_is_no_manifest(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        decode_manifest(data, "m")


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(fields: Any) -> None:
        for key in path[:-1]:
            fields = fields[key]
        fields[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("labels", value=["a"] * 4), r"got 'logits': float32 \(N, 5\), expected 'logits': float32 \(N, 4\)"),
        (put("labels", value=[]), "labels: got none, expected one a class"),
        (put("labels", 1, value=7), r"Expected `str`, got `int` - at `\$\.labels\[1\]`"),
        (put("precision", value="fp8"), r"\$\.precision"),
        (put("crop", "crop_px", value=300), "0 < crop_px <= resize_px"),
        (put("crop", "crop_px", value=192), r"expected 'image': uint8 \(N, 192, 192, 3\)"),
        (put("crop", "interpolation", value="cubic"), r"\$\.crop\.interpolation"),
        (put("input", "dtype", value="float32"), "input or output: got 'image': float32"),
        (put("outputs", value=[]), r"\$\.outputs"),
        (put("files", 0, "name", value="../model.onnx"), "expected a plain name inside the bundle"),
        (put("files", 0, "name", value="/etc/passwd"), "expected a plain name inside the bundle"),
        (put("files", 0, "name", value=".."), "expected a plain name inside the bundle"),
        (put("files", 0, "name", value="a\\b"), "expected a plain name inside the bundle"),
        (put("files", 0, "name", value="golden.npz"), "expected each name once"),
        (put("files", 0, "sha256", value="ABC"), "expected 64 lower-case hexadecimal digits"),
        (put("files", 0, "size_bytes", value="10"), "Expected `int`, got `str`"),
        (put("graph", value="other.onnx"), "expected 'other.onnx' among them"),
        (put("golden", "tolerance", value=0), "0 < tolerance <= 1"),
        (put("golden", "count", value=0), "count >= 1"),
        (put("accuracy", 0, "top1_percent", value=101), "0 <= top-1 <= top-5 <= 100"),
        (put("created", value="yesterday"), "expected UTC"),
        (put("normalization", "std", value=[0.1, 0, 0.1]), "numbers above 0"),
        (put("steps", 0, "agreements", 0, "max_abs_error", value=None), "Expected `float`, got `null`"),
        (put("lineage", "calibration_images_sha256", value="12"), "sha256 of the calibration images"),
        (lambda fields: fields["crop"].pop("crop_px"), r"got no field \$\.crop\.crop_px"),
        (put("presicion", value="fp32"), r"got the field \$\.presicion, expected exactly those of schema version 2"),
        (put("crop", "mean", value=0.5), r"got the field \$\.crop\.mean"),
        (put("steps", 0, "agreements", 0, "psnr", value=1), r"got the field \$\.steps\[0\]\.agreements\[0\]\.psnr"),
    ],
)  # fmt: skip
def test_an_altered_field_is_named(
    manifest: Manifest, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        decode_manifest(altered(manifest, change), "m")


def test_every_field_is_required(manifest: Manifest) -> None:
    # A maker may leave out what has a default; a file that lacks it was not written by one.
    fields = json.loads(encode_manifest(manifest))
    for name in fields:
        cut = {key: value for key, value in fields.items() if key != name}
        with pytest.raises(
            BundleError, match=rf"missing required field `{name}`|got no field \$\.{name}|no integer {name}"
        ):
            decode_manifest(json.dumps(cut).encode(), "m")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda facts: replace(facts, precision="int4"), "precision: got 'int4', expected one of fp32, fp16, int8"),
        (lambda facts: replace(facts, labels=()), "labels: got none"),
        (lambda facts: replace(facts, input=TensorSpec("x", ("N", 224, 224, 3), "uint8")), "got 'x': uint8"),
        (lambda _: Lineage(Artefact("a", "0" * 64), "x"), "sha256 of the calibration images: got 'x'"),
        (lambda _: Accuracy("a", 0, 1.0, 2.0), "count >= 1"),
        (lambda _: Accuracy("a", 1, 3.0, 2.0), "top-1 <= top-5"),
        (lambda _: GoldenRecord("a", 1, math.nan), "tolerance"),
    ],
)
def test_facts_are_checked_when_they_are_stated(
    tiny_facts: BundleFacts, make: Callable[[BundleFacts], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make(tiny_facts)


def precision_row(precision: Any = "fp32", **changes: Any) -> PrecisionRow:
    return replace(PrecisionRow(precision, 98.0, 97.0, 98.5, 99.5, 100.0, math.inf, 2117, 0.0, -0.2, 0.2), **changes)


def test_a_comparison_comes_back_with_its_infinite_sqnr(manifest: Manifest) -> None:
    rows = (precision_row(), precision_row("int8", sqnr_db=22.5, difference_points=-0.1))
    compared = replace(manifest, comparison=Comparison("demo:test", 500, rows))
    text = encode_manifest(compared)
    assert json.loads(text)["comparison"]["rows"][0]["sqnr_db"] is None
    assert decode_manifest(text, "m") == compared
    with pytest.raises(InputError, match="SQNR of nan"):
        encode_manifest(replace(manifest, comparison=Comparison("x", 1, (precision_row(sqnr_db=math.nan),))))


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "int4"},
        {"top1_percent": 99.0},
        {"top5_percent": 97.0},
        {"top1_high_percent": 101.0},
        {"difference_points": 0.3},
        {"agreement_percent": -1.0},
        {"size_bytes": 0},
    ],
)
def test_an_impossible_row_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="precision"):
        precision_row(**changes)


def test_a_comparison_begins_with_float32() -> None:
    for rows in ((), (precision_row("int8"),), (precision_row(), precision_row())):
        with pytest.raises(InputError, match="expected fp32 first"):
            Comparison("demo:test", 5, rows)


@pytest.mark.parametrize("value", [5, [], {"rows": 7}, {"rows": [3]}, {"dataset": "x", "count": 1, "rows": []}])
def test_a_comparison_of_another_shape_is_damage(manifest: Manifest, value: object) -> None:
    with pytest.raises(BundleError):
        decode_manifest(altered(manifest, lambda fields: fields.update(comparison=value)), "m")

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge import Bundle as PublicBundle
from googlenet_edge.bundle import Bundle, BundleFacts, GoldenFrames
from googlenet_edge.errors import BundleError, InputError


def set_field(folder: Path, name: str, value: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))


def test_an_opened_bundle_says_what_it_is(tiny_bundle: Path, tiny_facts: BundleFacts) -> None:
    bundle = PublicBundle.open(str(tiny_bundle))
    assert isinstance(bundle, Bundle)
    assert (bundle.name, bundle.labels, bundle.crop) == ("tiny", tiny_facts.labels, tiny_facts.crop)
    assert bundle.graph_path == tiny_bundle / "model.onnx"
    assert bundle.graph_sha256 == bundle.manifest.record("model.onnx").sha256
    assert bundle.sha256 == hashlib.sha256((tiny_bundle / "bundle.json").read_bytes()).hexdigest()
    assert bundle.manifest.steps == tiny_facts.steps


def test_golden_frames_come_back(tiny_bundle: Path, tiny_golden: GoldenFrames) -> None:
    golden = Bundle.open(tiny_bundle).golden()
    np.testing.assert_array_equal(golden.images, tiny_golden.images)
    np.testing.assert_array_equal(golden.probabilities, tiny_golden.probabilities)


def test_a_bundle_reached_through_a_link_or_a_relative_path_opens(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tiny_bundle.with_name("link")
    link.symlink_to(tiny_bundle, target_is_directory=True)
    assert Bundle.open(link).name == "tiny"
    monkeypatch.chdir(tiny_bundle)
    assert Bundle.open(".").name == "tiny"


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_one_flipped_bit_is_found(tiny_bundle: Path, name: str) -> None:
    path = tiny_bundle / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        BundleError, match=rf"{name}': got sha256 [0-9a-f]{{64}}, expected [0-9a-f]{{64}}: it was alter"
    ):
        Bundle.open(tiny_bundle)


@pytest.mark.parametrize("cut", [0, 100])
def test_a_truncated_file_names_both_sizes(tiny_bundle: Path, cut: int) -> None:
    path = tiny_bundle / "model.onnx"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BundleError, match=rf"got {cut} bytes, expected {size}: it was cut short"):
        Bundle.open(tiny_bundle)


def test_a_missing_an_extra_and_a_renamed_file(tiny_bundle: Path) -> None:
    (tiny_bundle / "model.onnx").rename(tiny_bundle / "graph.onnx")
    with pytest.raises(BundleError, match=r"got the file 'graph.onnx', expected 'model.onnx': .*rename it back"):
        Bundle.open(tiny_bundle)
    (tiny_bundle / "graph.onnx").unlink()
    with pytest.raises(BundleError, match=r"the file 'model.onnx' is missing, bundle.json lists it"):
        Bundle.open(tiny_bundle)


def test_a_file_that_no_one_listed_is_refused(tiny_bundle: Path) -> None:
    (tiny_bundle / "notes.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"got 'notes.txt', which bundle.json does not list; move it out"):
        Bundle.open(tiny_bundle)


def test_a_folder_of_engines_may_stand_in_a_bundle_but_no_file_of_that_name(tiny_bundle: Path) -> None:
    (tiny_bundle / "engines").mkdir()
    (tiny_bundle / "engines" / "whatever").write_text("hello")
    assert Bundle.open(tiny_bundle).name == "tiny"
    (tiny_bundle / "engines").rename(tiny_bundle / "engine")
    with pytest.raises(BundleError, match=r"got 'engine', which bundle.json does not list"):
        Bundle.open(tiny_bundle)
    (tiny_bundle / "engine").rename(tiny_bundle.with_name("engine"))
    (tiny_bundle / "engines").write_text("hello")
    with pytest.raises(BundleError, match=r"got 'engines', which bundle.json does not list"):
        Bundle.open(tiny_bundle)


def test_a_link_out_of_the_folder_is_refused(tiny_bundle: Path) -> None:
    graph = tiny_bundle / "model.onnx"
    graph.rename(tiny_bundle.with_name("elsewhere.onnx"))
    graph.symlink_to("../elsewhere.onnx")
    with pytest.raises(BundleError, match=r"'model.onnx' is or leads to .*elsewhere.onnx', expected a regular file"):
        Bundle.open(tiny_bundle)


def test_a_folder_or_a_dangling_link_in_place_of_a_file(tiny_bundle: Path) -> None:
    (tiny_bundle / "model.onnx").unlink()
    (tiny_bundle / "model.onnx").mkdir()
    with pytest.raises(BundleError, match="expected a regular file"):
        Bundle.open(tiny_bundle)
    (tiny_bundle / "model.onnx").rmdir()
    (tiny_bundle / "model.onnx").symlink_to("nothing")
    with pytest.raises(BundleError, match="expected a regular file"):
        Bundle.open(tiny_bundle)


def test_a_listed_path_out_of_the_folder_is_refused(tiny_bundle: Path) -> None:
    records = json.loads((tiny_bundle / "bundle.json").read_text())["files"]
    outside = tiny_bundle.with_name("x.onnx")
    outside.write_bytes((tiny_bundle / "model.onnx").read_bytes())
    for name in ("../x.onnx", str(outside), "sub/model.onnx"):
        set_field(tiny_bundle, "files", [{**records[0], "name": name}, records[1]])
        set_field(tiny_bundle, "graph", name)
        with pytest.raises(BundleError, match="expected a plain name inside the bundle's folder"):
            Bundle.open(tiny_bundle)


def test_no_bundle_at_all(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="got nothing there, expected a folder; give the folder that"):
        Bundle.open(tmp_path / "none")
    with pytest.raises(BundleError, match="got a file, expected a folder"):
        Bundle.open(tiny_bundle / "model.onnx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"got a folder with nothing, expected bundle.json in it"):
        Bundle.open(tmp_path / "empty")
    with pytest.raises(BundleError, match=r"got nothing there|cannot be read"):
        Bundle.open("with\0zero")


def test_a_manifest_too_large_to_be_one_is_not_read(tiny_bundle: Path) -> None:
    with (tiny_bundle / "bundle.json").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="expected below 16 MiB"):
        Bundle.open(tiny_bundle)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_says_so(tiny_bundle: Path) -> None:
    (tiny_bundle / "model.onnx").chmod(0)
    with pytest.raises(BundleError, match=r"cannot be read: .*Permission denied"):
        Bundle.open(tiny_bundle)


def test_the_remains_of_an_interrupted_overwrite_are_pointed_at(tiny_bundle: Path) -> None:
    aside = tiny_bundle.with_name(f".{tiny_bundle.name}.0123abcd.replaced")
    tiny_bundle.rename(aside)
    with pytest.raises(BundleError, match=rf"left the former bundle in .*{aside.name}': rename it back"):
        Bundle.open(tiny_bundle)


@pytest.mark.parametrize("content", ["no zip", "no arrays", "wrong shape", "wrong type", "object", "bare array"])
def test_golden_frames_that_are_not_what_the_manifest_says(tiny_bundle: Path, content: str) -> None:
    bundle = Bundle.open(tiny_bundle)
    path = tiny_bundle / "golden.npz"
    images, probabilities = np.zeros((3, 224, 224, 3), np.uint8), np.zeros((3, 5), np.float32)
    if content == "no zip":
        path.write_bytes(b"PK\x03\x04 not really")
    elif content == "no arrays":
        np.savez(path, other=images)
    elif content == "wrong shape":
        np.savez(path, images=images[:2], probabilities=probabilities[:2])
    elif content == "wrong type":
        np.savez(path, images=images, probabilities=probabilities.astype(np.float64))
    elif content == "object":
        np.savez(path, images=np.array([{}], dtype=object), probabilities=probabilities)
    else:
        with path.open("wb") as file:
            np.save(file, images)
    with pytest.raises(BundleError, match=r"golden frames .*golden.npz': "):
        bundle.golden()


@pytest.mark.parametrize(
    ("images", "probabilities"),
    [
        (np.zeros((0, 4, 4, 3), np.uint8), np.zeros((0, 5), np.float32)),
        (np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 5), np.float32)),
        (np.zeros((1, 3, 4, 4), np.uint8), np.zeros((1, 5), np.float32)),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 5), np.float32)),
        (np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 5), np.nan, np.float32)),
        (np.zeros((), np.uint8), np.zeros((), np.float32)),
    ],
)
def test_golden_frames_are_checked(images: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32]) -> None:
    with pytest.raises(InputError, match="golden"):
        GoldenFrames(images, probabilities)

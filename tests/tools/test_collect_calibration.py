from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import googlenet_edge

ROOT = Path(googlenet_edge.__file__).parents[1]
SCRIPT = ROOT / "tools" / "collect_calibration.py"
Image = npt.NDArray[np.uint8]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("collect_calibration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["collect_calibration"] = module  # msgspec looks annotations up there
    spec.loader.exec_module(module)
    return module


TOOL = load()


def scene(seed: int) -> Image:
    """A picture with large shapes and fine texture, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.add(coarse, rng.integers(0, 60, (240, 320, 3), dtype=np.uint8)), np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten images: five scenes, two of them again with another brightness, two blurred, and one that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(5):
        cv2.imwrite(str(folder / f"{i}.png"), scene(i))
    for i in range(2):
        cv2.imwrite(str(folder / f"1{i}.png"), cv2.convertScaleAbs(scene(i), alpha=0.9, beta=5))
        cv2.imwrite(str(folder / f"2{i}.png"), cv2.GaussianBlur(scene(10 + i), (0, 0), 5))
    (folder / "30.png").write_bytes(b"no image")
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / "manifest.json").read_text())
    for image in manifest["images"]:
        assert hashlib.sha256((folder / image["file"]).read_bytes()).hexdigest() == image["sha256"]
    assert {p.name for p in folder.iterdir()} == {"manifest.json", *(i["file"] for i in manifest["images"])}
    return dict(manifest)


def test_keeps_what_is_sharp_and_new_and_counts_the_rest(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert TOOL.main([str(images), "--out", str(out)]) == 0
    manifest = read_manifest(out)
    assert manifest["schema_version"] == 1
    assert manifest["made_by"].startswith("tools/collect_calibration.py")
    assert manifest["source"] == str(images)
    assert manifest["settings"]["min_distance"] == 6
    expected = {"seen": 9, "not_sampled": 0, "blurred": 2, "near_duplicates": 2, "kept": 5}
    assert manifest["counts"] == {**expected, "dropped_by_source": 0, "unreadable": 1}
    kept = cv2.imread(str(out / "frame_00003.jpg"))
    assert kept is not None
    assert np.abs(kept.astype(int) - scene(2)).mean() < 20  # other scenes: above 50


def test_stops_at_the_count_and_samples_every_nth(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert TOOL.main([str(images), "--out", str(out), "--count", "2", "--every", "2"]) == 0
    manifest = read_manifest(out)
    assert (len(manifest["images"]), manifest["counts"]["seen"], manifest["counts"]["not_sampled"]) == (2, 3, 1)


def test_keeps_everything_when_told_to_and_the_labels(images: Path, tmp_path: Path) -> None:
    (images / "30.png").unlink()
    for i, path in enumerate(sorted(images.glob("*.png"))):
        (images / f"class{i % 2}").mkdir(exist_ok=True)
        path.rename(images / f"class{i % 2}" / path.name)
    out = tmp_path / "set"
    assert TOOL.main([str(images), "--out", str(out), "--min-distance", "0", "--min-sharpness", "0"]) == 0
    assert {i["label"] for i in read_manifest(out)["images"]} == {"class0", "class1"}
    assert len(read_manifest(out)["images"]) == 9


def test_resumes_its_own_collection_only(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    arguments = [str(images), "--out", str(out)]
    assert TOOL.main([*arguments, "--count", "3"]) == 0
    first = read_manifest(out)
    assert TOOL.main([*arguments, "--count", "3"]) == 1
    assert "holds a collection; go on with --resume" in capsys.readouterr().err
    assert TOOL.main([*arguments, "--count", "100", "--resume"]) == 0
    second = read_manifest(out)
    assert second["images"][:3] == first["images"]
    assert (len(second["images"]), second["counts"]["near_duplicates"]) == (5, 5)
    for other in (["--quality", "90"], ["--min-distance", "7"]):
        assert TOOL.main([*arguments, "--resume", *other]) == 1
        assert "choose another folder" in capsys.readouterr().err
    assert read_manifest(out) == second


def test_what_it_cannot_resume_it_leaves_alone(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    arguments = [str(images), "--out", str(out), "--resume"]
    assert TOOL.main(arguments) == 1
    assert "there is no collection to resume" in capsys.readouterr().err
    assert TOOL.main(arguments[:-1]) == 0
    whole = (out / "manifest.json").read_text()
    image = out / "frame_00001.jpg"
    content = image.read_bytes()
    for manifest, expected in (
        (whole[: len(whole) // 2], "damaged one"),
        ("[]", "damaged one"),
        (whole.replace('"schema_version": 1', '"schema_version": 2'), "collected with"),
        (whole.replace("frame_00001", "../frame_00001"), "expected one within the folder"),
    ):
        (out / "manifest.json").write_text(manifest)
        assert TOOL.main(arguments) == 1
        assert expected in capsys.readouterr().err
        assert (out / "manifest.json").read_text() == manifest
    (out / "manifest.json").write_text(whole)
    image.write_bytes(content[:-1])
    assert TOOL.main(arguments) == 1
    assert "altered" in capsys.readouterr().err
    image.unlink()
    assert TOOL.main(arguments) == 1
    assert "the manifest lists it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--count", "0"], 2, "--count: got 0"),
        (["--every", "1s"], 2, "is not live"),
        (["--every", "0"], 1, "every_frames: got 0"),
        (["--quality", "101"], 1, "jpeg_quality: got 101, expected 1 to 100"),
        (["--min-distance", "65"], 1, "min_distance: got 65"),
        (["--min-sharpness", "nan"], 1, "min_sharpness: got nan"),
    ],
)
def test_refuses_senseless_settings(
    images: Path, tmp_path: Path, extra: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert TOOL.main([str(images), "--out", str(tmp_path / "set"), *extra]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_refuses_folders_that_are_not_its_own(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert TOOL.main([str(images), "--out", str(images)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert TOOL.main([str(images), "--out", str(images / "0.png")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert TOOL.main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "set")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_a_full_disk_is_one_message_and_leaves_what_was_there(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, write = tmp_path / "set", Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "frame_00003" in path.name:
            write(path, content[:100])
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert TOOL.main([str(images), "--out", str(out)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert len(read_manifest(out)["images"]) == 2


def test_ctrl_c_leaves_a_valid_manifest(tmp_path: Path) -> None:
    out = tmp_path / "set"
    options = ["--out", str(out), "--every", "5", "--min-sharpness", "0"]
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), "demo:?size=160x120", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        while not (out / "frame_00003.jpg").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        printed, complained = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "interrupted; go on with --resume" in complained
    assert "Traceback" not in complained
    assert "of 512 images" in printed
    assert len(read_manifest(out)["images"]) >= 2


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), gain=st.floats(0.6, 1.0), other=st.integers(1001, 2000))
def test_the_hash_tells_scenes_apart_and_brightness_not(seed: int, gain: float, other: int) -> None:
    image = scene(seed)
    same = TOOL.difference_hash(image) ^ TOOL.difference_hash(cv2.convertScaleAbs(image, alpha=gain))
    different = TOOL.difference_hash(image) ^ TOOL.difference_hash(scene(other))
    assert same.bit_count() < 6 <= different.bit_count()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), sigma=st.floats(2, 8))
def test_blur_lowers_sharpness(seed: int, sigma: float) -> None:
    image = scene(seed)
    assert TOOL.sharpness(np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)) < TOOL.sharpness(image) / 2
    assert TOOL.sharpness(np.full((50, 50, 3), 7, np.uint8)) == 0

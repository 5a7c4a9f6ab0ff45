from __future__ import annotations

import hashlib
import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from googlenet_edge.capture.images import read_image
from googlenet_edge.errors import DatasetError, InputError, UsageError
from googlenet_edge.quantization.image_summary import SetObserver, difference_hash
from googlenet_edge.quantization.images import ImageOptions, collect_images
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.types import CropRule

RULE = CropRule(resize_px=36, crop_px=32)
MakeImages = Callable[..., Path]


def codes(folder: Path, count: int = 512) -> list[str]:
    with collect_images(folder, RULE, ImageOptions(count=count)) as images:
        return [warning.code for warning in images.summary.warnings]


def test_crops_are_what_the_runtime_would_see(tmp_path: Path, make_images: MakeImages) -> None:
    folder = make_images(tmp_path, 3)
    expected = [preprocess(read_image(folder / f"image{index}.png"), RULE) for index in range(3)]
    with collect_images(folder, RULE) as images:
        assert len(images) == 3
        assert np.array_equal(images.read(0, 3), np.stack(expected))
        assert images.sha256 == hashlib.sha256(b"".join(crop.tobytes() for crop in expected)).hexdigest()
        assert [Path(name).name for name in images.names] == ["image0.png", "image1.png", "image2.png"]
        assert [len(crop) for crop in images] == [1, 1, 1]
        assert len(images.read(1, 9)) == 2
        with pytest.raises(InputError, match="index 3"):
            images.read(3)


def test_order_and_content_decide_about_the_hash(tmp_path: Path, make_images: MakeImages) -> None:
    first, second = make_images(tmp_path / "a", 3), make_images(tmp_path / "b", 3)
    (second / "image0.png").rename(second / "image9.png")
    hashes = []
    for folder in (first, second, make_images(tmp_path / "c", 3)):
        with collect_images(folder, RULE) as images:
            hashes.append(images.sha256)
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_folder_per_class_is_taken_evenly(tmp_path: Path, make_images: MakeImages) -> None:
    for seed, label in enumerate(("apple", "pear")):
        make_images(tmp_path / label, 10, seed=seed)
    with collect_images(tmp_path, RULE, ImageOptions(count=4)) as images:
        assert [Path(name).parts[-2:] for name in images.names] == [
            ("apple", "image0.png"), ("apple", "image5.png"), ("pear", "image0.png"), ("pear", "image5.png"),
        ]  # fmt: skip
    with collect_images(str(tmp_path / "*" / "*.png"), RULE, ImageOptions(count=400, every=2)) as images:
        assert len(images) == 10


def test_the_demo_scene_and_videos_are_sampled(tmp_path: Path, make_images: MakeImages) -> None:
    with collect_images("demo:?size=64x64", RULE, ImageOptions(count=3)) as images:
        assert images.names == ("demo:?size=64x64#0", "demo:?size=64x64#10", "demo:?size=64x64#20")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
    for index in range(20):
        writer.write(np.full((64, 64, 3), 10 * index, np.uint8))
    writer.release()
    with collect_images(path, RULE, ImageOptions(count=5)) as images:
        assert [name.rpartition("#")[2] for name in images.names] == ["0", "4", "8", "12", "16"]
        assert abs(int(images.read(4)[0, 0, 0, 0]) - 160) < 3


def test_a_collection_is_read_as_its_manifest_says(tmp_path: Path, make_images: MakeImages) -> None:
    folder = make_images(tmp_path / "images", 3).parent
    names = ["images/image2.png", "images/image0.png"]
    listed = [{"file": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()} for name in names]
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"schema_version": 1, "images": listed}))
    with collect_images(folder, RULE) as images:
        assert [Path(name).name for name in images.names] == ["image2.png", "image0.png"]
    (folder / "images" / "image0.png").unlink()
    with collect_images(folder, RULE) as images:
        assert [Path(image.name).name for image in images.summary.unreadable] == ["image0.png"]
    (folder / "images" / "image2.png").write_bytes(b"altered")
    with pytest.raises(DatasetError, match=f"got sha256 {hashlib.sha256(b'altered').hexdigest()}, its manifest says"):
        collect_images(folder, RULE)
    manifest.write_text(json.dumps({"images": [{"file": "../secret.png", "sha256": "0" * 64}]}))
    with pytest.raises(DatasetError, match="inside its folder"):
        collect_images(folder, RULE)
    manifest.write_text('{"name": "a web app"}')
    (folder / "images" / "image2.png").unlink()
    with collect_images(folder, RULE) as images:
        assert len(images) == 1


def test_unreadable_images_are_named_and_left_out(
    tmp_path: Path, make_images: MakeImages, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_images(tmp_path, 3)
    (folder / "image1.png").write_bytes((folder / "image1.png").read_bytes()[:50])
    (folder / "none.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image")
    with caplog.at_level(logging.WARNING), collect_images(folder, RULE) as images:
        assert len(images) == 2
        named = {Path(image.name).name: image.reason for image in images.summary.unreadable}
    assert set(named) == {"image1.png", "none.jpg", "text.jpg"}
    assert "truncated" in named["image1.png"]
    assert "empty" in named["none.jpg"]
    assert any("3 images could not be read" in record.message for record in caplog.records)


@pytest.mark.parametrize("content", ["nothing", "unreadable only", "text only"])
def test_no_image_at_all_is_an_error(tmp_path: Path, content: str) -> None:
    if content == "unreadable only":
        (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    elif content == "text only":
        (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DatasetError):
        collect_images(tmp_path, RULE)


@pytest.mark.parametrize(
    ("source", "error"),
    [("no/such/folder", DatasetError), ("no-such-*.jpg", DatasetError), ("ftp://a/b", UsageError), ("", UsageError),
     ("a\0b", UsageError), ("x" * 5000, DatasetError)],
)  # fmt: skip
def test_sources_that_do_not_exist(source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        collect_images(source, RULE)


def test_odd_images_become_crops(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)
    Image.fromarray(noise).convert("CMYK").save(tmp_path / "0_cmyk.jpg")
    Image.new("RGB", (1, 1), (10, 20, 30)).save(tmp_path / "1_pixel.png")
    Image.new("RGB", (10_000, 3), (200, 100, 50)).save(tmp_path / "2_wide.png")
    Image.new("L", (50, 50), 128).save(tmp_path / "3_grey.png")
    Image.new("RGBA", (50, 50), (255, 0, 0, 128)).save(tmp_path / "4_alpha.png")
    halves = Image.new("RGB", (80, 80), (255, 255, 255))
    halves.paste((0, 0, 0), (0, 0, 80, 40))  # black above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    halves.save(tmp_path / "5_turned.jpg", exif=exif, quality=95)
    with collect_images(tmp_path, RULE) as images:
        assert images.summary.unreadable == ()
        crops = {Path(name).name: images.read(index)[0] for index, name in enumerate(images.names)}
    assert len(crops) == 6
    assert crops["1_pixel.png"][5, 5].tolist() == [30, 20, 10]
    assert crops["2_wide.png"][16, 16].tolist() == [50, 100, 200]
    turned = crops["5_turned.jpg"]
    assert turned[:, 28].max() < 60  # what was above is at the right now
    assert turned[:, 3].min() > 200


def test_warnings_say_what_is_wrong_with_the_set(tmp_path: Path, make_images: MakeImages) -> None:
    good = make_images(tmp_path / "good", 100)
    assert codes(good) == []
    assert codes(good, count=99) == ["too-few"]
    same = tmp_path / "same"
    same.mkdir()
    for index in range(120):
        (same / f"{index}.png").write_bytes((good / f"image{index % 40}.png").read_bytes())
    assert codes(same) == ["alike"]
    grey = tmp_path / "grey"
    grey.mkdir()
    for path in good.iterdir():
        cv2.imwrite(str(grey / path.name), cv2.cvtColor(read_image(path), cv2.COLOR_BGR2GRAY))
    assert codes(grey) == ["grey"]
    blank = tmp_path / "blank"
    blank.mkdir()
    for index, color in enumerate(((0, 0, 0), (255, 255, 255), (0, 0, 255))):
        cv2.imwrite(str(blank / f"{index}.png"), np.full((40, 40, 3), color, np.uint8))
    assert codes(blank) == ["too-few", "alike", "blank"]


def test_duplicates_are_counted_and_left_out_only_when_asked(tmp_path: Path, make_images: MakeImages) -> None:
    folder = make_images(tmp_path, 3)
    Image.open(folder / "image0.png").save(folder / "zopy.jpg", quality=90)  # the same picture, other bytes
    with collect_images(folder, RULE) as images:
        assert (len(images), images.summary.near_duplicates, images.summary.duplicates_dropped) == (4, 1, 0)
    with collect_images(folder, RULE, ImageOptions(drop_duplicates=True)) as images:
        assert (len(images), images.summary.near_duplicates, images.summary.duplicates_dropped) == (3, 0, 1)


def test_a_camera_that_sees_one_thing_does_not_hold_up_forever(tmp_path: Path) -> None:
    path = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
    for _ in range(250):
        writer.write(np.full((64, 64, 3), 128, np.uint8))
    writer.release()
    with collect_images(path, RULE, ImageOptions(count=2, every=1, drop_duplicates=True)) as images:
        assert images.summary.duplicates_dropped == 199


def test_a_broken_video_keeps_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
    noise = np.random.default_rng(0)
    for _ in range(40):
        writer.write(noise.integers(0, 256, (64, 64, 3)).astype(np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with collect_images(path, RULE, ImageOptions(count=1000)) as images:
        assert 10 < len(images) < 40
        assert "ended-early" in [warning.code for warning in images.summary.warnings]


def test_difference_hash_knows_many_images() -> None:
    observer = SetObserver()
    random = np.random.default_rng(0)
    crops = [
        random.integers(0, 256, (16, 16, 3)).astype(np.uint8) for _ in range(600)
    ]  # more than it first has room for
    for crop in crops:
        observer.add(crop, near_duplicate=False)
    assert observer.is_near_duplicate(crops[0])
    assert observer.is_near_duplicate(crops[599])
    assert not observer.is_near_duplicate(
        np.broadcast_to(np.arange(16, dtype=np.uint8)[None, :, None], (16, 16, 3)) * 8
    )
    assert difference_hash(crops[0]).shape == (8,)


@pytest.mark.parametrize(("count", "every"), [(0, None), (100_001, None), (1, 0)])
def test_options_are_checked(count: int, every: int | None) -> None:
    with pytest.raises(InputError):
        ImageOptions(count, every)


def test_a_full_disk_is_one_clear_message(tmp_path: Path, make_images: MakeImages) -> None:
    folder = make_images(tmp_path, 5)
    code = (
        "import sys\n"
        "from googlenet_edge.errors import OutputError\n"
        "from googlenet_edge.quantization.images import collect_images\n"
        "from googlenet_edge.types import CropRule\n"
        "try:\n    collect_images(sys.argv[1], CropRule())\n"
        "except OutputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert "temporary file of the crops" in done.stdout
    assert "free some room" in done.stdout
    assert done.stderr == ""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.images import natural_order, read_image
from googlenet_edge.errors import SourceError

SUFFIXES = (".jpg", ".png", ".bmp", ".webp", ".tiff")


def write_image(path: Path, level: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(level).integers(0, 60, (120, 160, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), noise + np.uint8(level))
    return path


def test_reads_a_folder_in_natural_order(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.jpg", "F1.webp", "f3.bmp", "f20.tiff"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.jpg").write_bytes(b"no image")
    stamps = iter(range(100, 200))
    with open_source(str(tmp_path), clock=lambda: next(stamps)) as source:
        frames = list(source)
    assert [Path(f.name or "").name for f in frames] == ["F1.webp", "f2.jpg", "f3.bmp", "f10.png", "f20.tiff"]
    assert [(f.sequence, f.captured_ns) for f in frames] == [(i, 100 + i) for i in range(5)]
    assert all(f.image.shape == (120, 160, 3) and f.image.dtype == np.uint8 and f.truth is None for f in frames)
    assert (source.live, source.dropped, source.labels) == (False, 0, None)


def test_a_folder_per_class_gives_the_truth(tmp_path: Path) -> None:
    for name in ("class10/a.png", "class2/b.png", "class2/a.png", "class1/x.txt"):
        if name.endswith("png"):
            write_image(tmp_path / name)
        else:
            (tmp_path / name).parent.mkdir()
    with open_source(tmp_path) as source:
        assert source.labels == ("class1", "class2", "class10")
        assert [(f.truth, Path(f.name or "").name) for f in source] == [(1, "a.png"), (1, "b.png"), (2, "a.png")]


def test_a_folder_with_images_of_its_own_is_no_folder_per_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "more" / "b.png")
    with open_source(tmp_path) as source:
        assert [Path(f.name or "").name for f in source] == ["a.png"]
    assert source.labels is None
    assert "sub-folders are left out" in caplog.text


def test_reads_a_glob_and_a_single_file(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.jpg", "b/c/3.png", "b/readme.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("x")
        else:
            write_image(tmp_path / name)
    with open_source(f"{tmp_path}/**/*") as source:
        assert [Path(f.name or "").name for f in source] == ["1.png", "2.jpg", "3.png"]
    with open_source(f"{tmp_path}/*/[0-9].jpg") as source:
        assert [Path(f.name or "").name for f in source] == ["2.jpg"]
    with open_source(tmp_path / "a" / "1.png") as source:
        assert len(list(source)) == 1


def test_a_name_with_glob_characters_is_taken_as_it_is(tmp_path: Path) -> None:
    write_image(tmp_path / "run[1]" / "a.png")
    with open_source(f"{tmp_path}/run[1]") as source:
        assert len(list(source)) == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_skips_counts_and_names_what_is_damaged(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    good = write_image(tmp_path / f"0good{suffix}")
    data = good.read_bytes()
    (tmp_path / f"1cut{suffix}").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / f"2empty{suffix}").write_bytes(b"")
    (tmp_path / f"3text{suffix}").write_text("this is no image " * 20)
    (tmp_path / f"4gone{suffix}").symlink_to(tmp_path / "nowhere")
    write_image(tmp_path / f"5good{suffix}")
    with caplog.at_level(logging.WARNING), open_source(tmp_path) as source:
        frames = list(source)
    assert [(f.sequence, Path(f.name or "").stem) for f in frames] == [(0, "0good"), (1, "5good")]
    assert source.skipped == 4  # type: ignore[attr-defined]
    for name in ("1cut", "2empty", "3text", "4gone"):
        assert f"{name}{suffix}: " in caplog.text


def test_a_cut_jpeg_with_a_thumbnail_is_found_out(tmp_path: Path) -> None:
    whole = write_image(tmp_path / "a.jpg").read_bytes()
    thumbnail = b"\xff\xe1" + (2 + len(whole)).to_bytes(2, "big") + whole
    with_thumbnail = whole[:2] + thumbnail + whole[2:]
    (tmp_path / "a.jpg").write_bytes(with_thumbnail)
    assert read_image(tmp_path / "a.jpg").shape == (120, 160, 3)
    (tmp_path / "a.jpg").write_bytes(with_thumbnail[:-100])
    with pytest.raises(SourceError, match=r"a\.jpg: the image is truncated"):
        read_image(tmp_path / "a.jpg")


def test_bytes_after_the_end_of_an_image_do_not_matter(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = write_image(tmp_path / f"a{suffix}")
        path.write_bytes(path.read_bytes() + b"maker's notes")
        assert read_image(path).shape == (120, 160, 3)


def test_grey_alpha_and_deep_images_become_bgr(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for shape, dtype in (((9, 7), np.uint8), ((9, 7, 4), np.uint8), ((9, 7, 3), np.uint16)):
        cv2.imwrite(str(path), np.full(shape, 200, dtype))
        image = read_image(path)
        assert image.shape == (9, 7, 3)
        assert image.dtype == np.uint8


def test_turns_an_image_upright_by_its_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn right by 90 degrees
    Image.new("RGB", (40, 20), (200, 10, 10)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (40, 20, 3)


def test_a_link_that_leads_nowhere_is_skipped_by_name_and_a_pipe_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "c.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "d.jpg").mkdir()
    os.mkfifo(tmp_path / "e.jpg")
    with open_source(tmp_path) as source:
        assert [Path(frame.name or "").name for frame in source] == ["a.jpg", "c.jpg"]
    assert "skipped: " in caplog.text
    assert "b.jpg: cannot be read: No such file or directory" in caplog.text


def test_says_when_nothing_at_all_can_be_read(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"no image")
    with (
        open_source(tmp_path, SourceOptions(loop=True)) as source,
        pytest.raises(SourceError, match="none of the 3 images"),
    ):
        list(source)


def test_says_when_there_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SourceError, match=r"no images among its 2 entries; expected files ending in \.bmp"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match=r"matches 1 files, none of them an image"):
        open_source(f"{tmp_path}/*.txt")
    with pytest.raises(SourceError, match=r"matches 0 files"):
        open_source(f"{tmp_path}/*.jpg")


def test_loops_until_closed_and_skips_a_bad_file_once(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "c.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    names = []
    with open_source(tmp_path, SourceOptions(loop=True)) as source:
        for frame in source:
            names.append(Path(frame.name or "").stem)
            if len(names) == 5:
                source.close()
    assert names == ["a", "c", "a", "c", "a"]
    assert source.skipped == 1  # type: ignore[attr-defined]


def test_iterating_again_goes_on(tmp_path: Path) -> None:
    for i in range(3):
        write_image(tmp_path / f"{i}.png")
    with open_source(tmp_path) as source:
        assert next(iter(source)).sequence == 0
        assert [f.sequence for f in source] == [1, 2]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_says_when_a_folder_may_not_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        open_source(tmp_path)
    tmp_path.chmod(0o700)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**12), unique=True), st.text(alphabet="ab_-. ", max_size=3))
def test_numbers_within_names_are_numbers(numbers: list[int], prefix: str) -> None:
    paths = sorted((Path(f"x/{prefix}{n}.jpg") for n in numbers), key=natural_order)
    assert [p.name for p in paths] == [f"{prefix}{n}.jpg" for n in sorted(numbers)]


@settings(deadline=None)
@given(st.lists(st.text(max_size=6)))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    sorted((Path(n) for n in names), key=natural_order)

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.errors import InputError, SourceError
from googlenet_edge.scenarios.frames import demo_frames, image_frames


def test_demo_frames_are_fixed_by_the_seed() -> None:
    one, again, other = (demo_frames(3, size_px=(160, 96), seed=seed) for seed in (1, 1, 2))
    assert [image.shape for image in one.images] == [(96, 160, 3)] * 3
    assert all((a == b).all() for a, b in zip(one.images, again.images, strict=True))
    assert any((a != b).any() for a, b in zip(one.images, other.images, strict=True))
    assert (one.images[0] != one.images[1]).any()
    assert one.description == "3 frames of the demo scene, 160x96, seed 1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((20 + number, 30, 3), number, np.uint8))
    return tmp_path


def test_images_are_drawn_by_the_seed(folder: Path) -> None:
    def shades(seed: int) -> list[int]:
        return [int(image[0, 0, 0]) for image in image_frames(str(folder), 4, seed=seed).images]

    assert shades(1) == shades(1)
    assert len(set(shades(1))) == 4, "none twice"
    assert any(shades(1) != shades(seed) for seed in range(2, 6))
    found = image_frames(str(folder), 4, seed=1)
    assert found.description.startswith(f"4 of 6 images of {folder}, 30x2")
    assert found.description.endswith(" and others, drawn with seed 1")


def test_all_images_in_order_where_they_are_no_more_than_asked_for(folder: Path) -> None:
    found = image_frames(str(folder / "[01].png"), 9)
    assert [int(image[0, 0, 0]) for image in found.images] == [0, 1]
    assert found.description == f"2 images of {folder}/[01].png, 30x20, 30x21"


def test_what_cannot_be_used_is_an_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no images"):
        image_frames(str(tmp_path / "empty"))
    (folder / "0.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"0\.png"):
        image_frames(str(folder))
    with pytest.raises(InputError, match="frames: got 0"):
        demo_frames(0)
    with pytest.raises(InputError, match="MiB of pixels, expected at most 1024 MiB"):
        demo_frames(400)

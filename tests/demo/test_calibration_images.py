"""The repository's calibration images are those that their manifest says, and can be made again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.demo.dataset import LABELS, scene

FOLDER = Path(__file__).parents[2] / "calibration"


def test_every_image_has_the_hash_that_the_manifest_says() -> None:
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    assert len(manifest["images"]) == 512
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.glob("images/*")} == {
        i["file"] for i in manifest["images"]
    }
    for image in manifest["images"]:
        assert hashlib.sha256((FOLDER / image["file"]).read_bytes()).hexdigest() == image["sha256"]
    assert {image["label"] for image in manifest["images"]} == set(LABELS)


@pytest.mark.parametrize("index", [0, 100, 511])
def test_the_images_can_be_made_again(index: int) -> None:
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    stored = cv2.imread(str(FOLDER / manifest["images"][index]["file"]))
    assert stored is not None
    drawn, class_id = scene("train", 900_000 + index, size_px=(256, 256))
    assert LABELS[class_id] == manifest["images"][index]["label"]
    # JPEG's loss at quality 85, and no more.
    assert np.abs(stored.astype(float) - drawn).mean() < 8

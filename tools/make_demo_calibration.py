"""Make the demo's calibration images: scenes of the training distribution that training did not use, as JPEG.

    python tools/make_demo_calibration.py --out calibration

Writes ``images/NNNN.jpg`` and ``manifest.json`` with the sha256 of each. The same command gives the same pixels; the
bytes of a JPEG depend on OpenCV's encoder, so the manifest names its version.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import cv2

from googlenet_edge.demo.dataset import LABELS, scene

FIRST_SCENE = 900_000
"""Well above the scenes that training reads (``tools/train_demo.py``: SCHEDULES)."""
SIZE_PX = (256, 256)
JPEG_QUALITY = 85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=512)
    arguments = parser.parse_args()

    folder = arguments.out / "images"
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for index in range(arguments.count):
        image, class_id = scene("train", FIRST_SCENE + index, size_px=SIZE_PX)
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not ok:
            parser.error("this OpenCV cannot write JPEG")
        file = folder / f"{index:04d}.jpg"
        file.write_bytes(data.tobytes())
        images.append(
            {
                "file": f"images/{file.name}",
                "sha256": hashlib.sha256(data.tobytes()).hexdigest(),
                "label": LABELS[class_id],
            }
        )
    manifest = {
        "schema_version": 1,
        "made_by": f"tools/make_demo_calibration.py, OpenCV {cv2.__version__}",
        "source": f"demo scenes, training split, numbers {FIRST_SCENE} to {FIRST_SCENE + arguments.count - 1}",
        "settings": {"size_px": list(SIZE_PX), "jpeg_quality": JPEG_QUALITY, "count": arguments.count},
        "images": images,
    }
    (arguments.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"wrote {arguments.count} images to {folder}")


if __name__ == "__main__":
    main()

"""Our preprocessing against PIL and torch: how fast it is, how far off its pixels are, whether the labels agree.

Speed: processes that take turns, one a side and a pair, each timing many frames on one thread; the median of the
pairs' ratios counts. The PIL side is the usual transform: BGR to RGB, ``Resize(256)`` (antialiased bilinear),
``CenterCrop(224)``, to a float tensor, normalised. Ours ends in uint8, because the graph normalises.

    python tools/bench_preprocess.py                                    speed and pixels
    python tools/bench_preprocess.py --bundle DIR --frames 1000         and top-1 agreement on the demo's test scenes
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from googlenet_edge.demo.dataset import scenes
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.types import CropRule, ImageArray

RULES = {name: CropRule(interpolation=name) for name in ("halve-linear", "area", "linear")}
SIZES_PX = ((1280, 720), (1920, 1080), (3840, 2160), (640, 480), (2560, 1440), (320, 240), (100, 100))


def reference(image: ImageArray) -> ImageArray:
    """Resize(256) and CenterCrop(224) as torchvision does them on a PIL image; BGR in and out."""
    picture = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    width, height = picture.size
    short = min(width, height)
    width, height = 256 * width // short, 256 * height // short
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
    return np.asarray(picture)[..., ::-1]


def usual_transform() -> Callable[[ImageArray], object]:
    """The reference as it is usually written for torch: a normalised float tensor (1, 3, 224, 224), RGB."""
    import torch

    torch.set_num_threads(1)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    def transform(image: ImageArray) -> object:
        rgb = torch.from_numpy(np.ascontiguousarray(reference(image)[..., ::-1]))
        return ((rgb.permute(2, 0, 1).contiguous().float() / 255 - mean) / std)[None]

    return transform


def natural_frame(width_px: int, height_px: int, seed: int) -> ImageArray:
    """A frame with the spectrum of a photograph, edges, and a camera's noise."""
    rng = np.random.default_rng(seed)
    total: npt.NDArray[np.float32] = np.zeros((height_px, width_px, 3), dtype=np.float32)
    for octave in range(9):
        cells = rng.normal(size=(2 + (height_px << octave) // 512, 2 + (width_px << octave) // 512, 3))
        wave = cv2.resize(cells.astype(np.float32), (width_px, height_px), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(wave / 2 ** (0.9 * octave), dtype=np.float32)
    image: ImageArray = ((total - total.min()) / (total.max() - total.min()) * 255).astype(np.uint8)
    for _ in range(40):
        x, y = int(rng.integers(width_px)), int(rng.integers(height_px))
        color = tuple(map(int, rng.integers(0, 256, 3)))
        cv2.circle(image, (x, y), int(rng.integers(2, 3 + height_px // 8)), color, int(rng.integers(-1, 5)) or 1)
    blurred = cv2.GaussianBlur(image, (3, 3), 0).astype(np.float32)
    noisy: ImageArray = np.clip(blurred + rng.normal(scale=6, size=blurred.shape), 0, 255).astype(np.uint8)
    return noisy


def median_ms(function: Callable[[ImageArray], object], image: ImageArray, frames: int) -> float:
    """The median time of one call, in milliseconds."""
    times_ns = []
    for _ in range(frames):
        begin_ns = time.monotonic_ns()
        function(image)
        times_ns.append(time.monotonic_ns() - begin_ns)
    return statistics.median(times_ns[frames // 10 :]) / 1e6


def child(side: str) -> None:
    cv2.setNumThreads(1)
    image = natural_frame(1280, 720, seed=0)
    if side == "ours":
        print(median_ms(lambda frame: preprocess(frame, CropRule()), image, 400))
    else:
        print(median_ms(usual_transform(), image, 60))


def compare_speed(pairs: int) -> None:
    runs: dict[str, list[float]] = {"ours": [], "pil": []}
    for pair in range(pairs):
        for side in sorted(runs, reverse=pair % 2 == 1):
            command = [sys.executable, __file__, "--child", side]
            runs[side].append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    ratios = [pil / ours for ours, pil in zip(runs["ours"], runs["pil"], strict=True)]
    print(
        f"1280x720, one thread: ours {statistics.median(runs['ours']):.3f} ms, PIL + torch "
        f"{statistics.median(runs['pil']):.2f} ms; median ratio {statistics.median(ratios):.1f} "
        f"({min(ratios):.1f} to {max(ratios):.1f}, {pairs} pairs)"
    )


def compare_pixels() -> None:
    cv2.setNumThreads(1)
    print("\nagainst PIL, in grey levels: mean absolute, root mean square, largest difference; and time on one thread")
    for width_px, height_px in SIZES_PX:
        frames = [natural_frame(width_px, height_px, seed) for seed in range(3)]
        expected = [reference(frame).astype(np.int16) for frame in frames]
        print(f"{width_px}x{height_px}: PIL {median_ms(reference, frames[0], 5):.2f} ms")
        for name, rule in RULES.items():
            pairs = zip(frames, expected, strict=True)
            difference = np.stack([preprocess(frame, rule) - want for frame, want in pairs]).astype(np.float64)
            took_ms = median_ms(lambda frame, rule=rule: preprocess(frame, rule), frames[0], 40)  # type: ignore[misc]
            mean, rms = np.abs(difference).mean(), np.sqrt((difference**2).mean())
            print(f"  {name:13} {mean:5.2f} {rms:5.2f} {np.abs(difference).max():4.0f}  {took_ms:6.3f} ms")


def compare_labels(bundle: str, split: str, count: int) -> None:
    agree = dict.fromkeys(RULES, 0)
    right = dict.fromkeys(("PIL", *RULES), 0)
    with Classifier(bundle) as classifier:
        for image, class_id in scenes(split, count, size_px=(1280, 720)):
            crops = [np.ascontiguousarray(reference(image)), *(preprocess(image, rule) for rule in RULES.values())]
            logits, _ = classifier.backend.infer(np.stack(crops))
            expected, *got = logits.argmax(axis=1).tolist()
            right["PIL"] += expected == class_id
            for name, best in zip(RULES, got, strict=True):
                agree[name] += best == expected
                right[name] += best == class_id
    print(f"\n{count} scenes of the {split} split at 1280x720: PIL {100 * right['PIL'] / count:.2f} % right (top-1)")
    for name in RULES:
        print(
            f"  {name:13} agrees with PIL in {100 * agree[name] / count:.2f} %, {100 * right[name] / count:.2f} % right"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of processes, at least 5 (default: %(default)s)")
    parser.add_argument("--bundle", help="folder of a bundle of the demo's model, for the top-1 agreement")
    parser.add_argument("--split", default="test", help="the demo's split (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=1000, help="scenes for the agreement (default: %(default)s)")
    parser.add_argument("--child", choices=["ours", "pil"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    if arguments.pairs < 5 or arguments.frames < 1:
        parser.error(f"got --pairs {arguments.pairs}, --frames {arguments.frames}, expected at least 5 and 1")
    compare_speed(arguments.pairs)
    compare_pixels()
    if arguments.bundle:
        compare_labels(arguments.bundle, arguments.split, arguments.frames)


if __name__ == "__main__":
    main()

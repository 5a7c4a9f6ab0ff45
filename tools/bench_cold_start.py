"""How long, and with how much memory, from starting Python to the first label: ours against bare onnxruntime and cv2.

Both sides run the same graph, the one in the bundle, on the same frame, each in a process of its own; the two take
turns, and the median of the pairs' ratios is what counts, so that whatever else the machine does meets both. The bare
side is what one would write by hand: no checks of anything.

    python tools/bench_cold_start.py --bundle DIR [--pairs 7]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from googlenet_edge.bundle import Bundle

BARE = """
import json, sys
import cv2
import numpy as np
import onnxruntime
graph, manifest, picture = sys.argv[1:]
with open(manifest, encoding="utf-8") as file:
    labels = json.load(file)["labels"]
session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
frame = cv2.imread(picture)
height, width = frame.shape[:2]
side = min(height, width) * 224 // 256
top, left = (height - side) // 2, (width - side) // 2
crop = cv2.resize(frame[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_LINEAR)
logits, probabilities = session.run(["logits", "probabilities"], {"image": crop[np.newaxis]})
print(labels[int(probabilities[0].argmax())])
"""

OURS = """
import sys
import cv2
from googlenet_edge import Classifier
bundle, picture = sys.argv[1:]
with Classifier(bundle) as classifier:
    print(classifier.classify(cv2.imread(picture)).label)
"""


def measure(script: str, *arguments: str) -> tuple[float, float, float]:
    """Run a script in a fresh Python; return seconds, seconds of processor time and MiB of peak resident memory."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"error: the measured script ended with exit code {process.returncode}, expected 0; see above")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="folder of the bundle")
    parser.add_argument("--pairs", type=int, default=7, help="pairs of runs, at least 5 (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.pairs < 5:
        parser.error(f"--pairs: got {arguments.pairs}, expected at least 5")
    bundle = Bundle.open(arguments.bundle)
    with tempfile.TemporaryDirectory() as folder:
        picture = str(Path(folder) / "frame.png")
        frame = np.random.default_rng(0).integers(0, 256, (45, 80, 3), dtype=np.uint8)
        cv2.imwrite(picture, cv2.resize(frame, (1280, 720), interpolation=cv2.INTER_CUBIC))
        sides = {
            "bare": (BARE, str(bundle.graph_path), str(bundle.path / "bundle.json"), picture),
            "ours": (OURS, str(bundle.path), picture),
        }
        for side in sides.values():  # once unmeasured: byte code and files come into the caches
            measure(*side)
        runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
        for pair in range(arguments.pairs):
            for name in sorted(sides, reverse=pair % 2 == 1):
                runs[name].append(measure(*sides[name]))
    for index, (what, unit) in enumerate((("wall time", "s"), ("processor time", "s"), ("peak memory", "MiB"))):
        bare, ours = ([run[index] for run in runs[name]] for name in ("bare", "ours"))
        ratios = [o / b for o, b in zip(ours, bare, strict=True)]
        print(
            f"{what}: bare {statistics.median(bare):.3f} {unit}, ours {statistics.median(ours):.3f} {unit}; "
            f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {arguments.pairs} pairs)"
        )


if __name__ == "__main__":
    main()

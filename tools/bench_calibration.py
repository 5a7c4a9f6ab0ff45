"""From images to the thresholds of every tensor: ours, all methods at once, against ONNX Runtime's entropy calibrator.

Both calibrate the graph of the bundle on the same crops, each in a process of its own; the two take turns, and the
median of the pairs' ratios is what counts. Imports are not timed. ONNX Runtime's calibrator has its default bins and
looks at what ``quantize_static`` has it look at; with ``--conv-only`` at the convolutions' inputs and outputs, as one
would ask for with TensorRT in mind: at fewer tensors, it is faster.

    python tools/bench_calibration.py --bundle DIR [--images calibration] [--count 64] [--pairs 5]
    python tools/bench_calibration.py --bundle DIR --count 512 --pairs 0        ours alone: time and memory
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from googlenet_edge.bundle import Bundle

OURS = """
import json, sys, time
from googlenet_edge.bundle import Bundle
from googlenet_edge.quantization.calibrate import calibrate
from googlenet_edge.quantization.images import ImageOptions, collect_images
from googlenet_edge.quantization.placement import scale_groups
from googlenet_edge.graph.store import load_graph
bundle, source, count = sys.argv[1:]
bundle = Bundle.open(bundle)
began = time.perf_counter()
with collect_images(source, bundle.crop, ImageOptions(count=int(count))) as images:
    tensors = [group.tensor for group in scale_groups(load_graph(bundle.graph_path))]
    table = calibrate(bundle.graph_path, images, tensors).table
seconds = time.perf_counter() - began
assert table.image_count == int(count)
"""

THEIRS = """
import json, sys, tempfile, time
from pathlib import Path
from googlenet_edge.bundle import Bundle
from googlenet_edge.quantization.images import ImageOptions, collect_images
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
bundle, source, count, *operators = sys.argv[1:]
operators = operators or [*{*QLinearOpsRegistry, *QDQRegistry}]  # as quantize_static fills it in
bundle = Bundle.open(bundle)
began = time.perf_counter()
class Reader:
    def __init__(self, images):
        self.images, self.next = images, 0
    def get_next(self):
        if self.next == len(self.images):
            return None
        self.next += 1
        return {"image": self.images.read(self.next - 1)}
options = ImageOptions(count=int(count))
with collect_images(source, bundle.crop, options) as images, tempfile.TemporaryDirectory() as folder:
    calibrator = create_calibrator(
        bundle.graph_path, operators, augmented_model_path=str(Path(folder, "augmented.onnx")),
        calibrate_method=CalibrationMethod.Entropy,
    )
    calibrator.collect_data(Reader(images))
    ranges = calibrator.compute_data()
seconds = time.perf_counter() - began
assert ranges
"""

REPORT = """
status = open("/proc/self/status").read()
print(json.dumps([seconds, int(status.split("VmHWM:")[1].split()[0]) / 1024]))
"""


def measure(script: str, *arguments: str) -> tuple[float, float]:
    """Run a script in a fresh Python; return its seconds, and MiB of peak resident memory."""
    done = subprocess.run(
        [sys.executable, "-c", script + REPORT, *arguments], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"error: the measured script ended with exit code {done.returncode}: {done.stderr[-2000:]}")
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="folder of an fp32 bundle")
    parser.add_argument("--images", default="calibration", help="calibration images (default: %(default)s)")
    parser.add_argument("--count", type=int, default=64, help="how many of them (default: %(default)s)")
    parser.add_argument("--conv-only", action="store_true", help="ONNX Runtime at the convolutions only")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs; 0 for ours alone (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.count < 1 or not (arguments.pairs == 0 or arguments.pairs >= 5):
        parser.error(
            f"got --count {arguments.count} --pairs {arguments.pairs}, expected 1 or more, and 0 or at least 5"
        )
    Bundle.open(arguments.bundle)
    given = (arguments.bundle, arguments.images, str(arguments.count))
    sides = {"ours": OURS, "onnxruntime": THEIRS} if arguments.pairs else {"ours": OURS}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for pair in range(max(1, arguments.pairs)):
        for name in sorted(sides, reverse=pair % 2 == 1):
            operators = ("Conv",) if name == "onnxruntime" and arguments.conv_only else ()
            runs[name].append(measure(sides[name], *given, *operators))
    for name, found in runs.items():
        seconds, peaks = zip(*found, strict=True)
        print(f"{name}: {statistics.median(seconds):.2f} s, peak {max(peaks):.0f} MiB, {arguments.count} images")
    if arguments.pairs:
        pairs = zip(runs["onnxruntime"], runs["ours"], strict=True)
        ratios = [theirs / ours for (theirs, _), (ours, _) in pairs]
        print(
            f"onnxruntime takes {statistics.median(ratios):.2f} times as long "
            f"({min(ratios):.2f} to {max(ratios):.2f}, {arguments.pairs} pairs)"
        )


if __name__ == "__main__":
    main()

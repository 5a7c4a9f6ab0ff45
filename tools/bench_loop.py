"""Our loop against inference alone, the plain loop and other projects' loops: frames per second, ages of frames.

All sides use the same classifier, bundle and backend; each runs in a process of its own, and they take turns. A ratio
is made within a round and given as the median of the rounds with its range. The measured frames come after a warm-up
in which the peers' queues fill, and end before the clip does.

1. A timed stand-in for a GPU of 5, 10 and 20 ms a batch: a device of two slots with an exact timetable, off the
   processor. Promised: from a 720p file, our loop reaches 95 % of the rate of inference alone.
2. ONNX Runtime on the processors that also decode. Promised: 95 % of the rate that the processor time of decoding,
   preprocessing, inference and emission, each measured alone, allows where no processor is ever idle. Inference is
   counted in the way that takes the least: two frames at once, as our loop does it. Also 95 % of what the processor
   time of our own frames allows, and no more of that than the plain loop takes. On a busy machine, what other
   processes took is taken off what there was.
3. Promised in both: ahead of the plain loop (cv2.VideoCapture: read, classify, print) and of every peer's loop.
4. A camera of 30 frames/s on loopback and a stand-in of 20 and 50 ms. Promised: the age of our frames (p99) is below
   two frame periods plus one inference. The camera's pictures carry their number, so the age is taken from what came
   out.
5. What the loop itself costs per frame, in processor time.

    pip install vidgear colorlog imutils        the peers, Apache-2.0 and MIT, for this tool only
    python tools/bench_loop.py --bundle DIR [--check] [--only device cpu live overhead]

Figures are only worth something if nothing else runs on the machine; the tool says how busy others kept it. A slow
machine may need a higher --seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from googlenet_edge.bundle import Bundle
from googlenet_edge.errors import GoogLeNetEdgeError
from tools.loopbench.clip import CLIP, make_clip
from tools.loopbench.figures import Promise
from tools.loopbench.job import Job, JobError
from tools.loopbench.sections import Bench

PEERS = {"vidgear": "vidgear colorlog", "imutils": "imutils"}
PARTS = ("device", "cpu", "live", "overhead")
# A peer may have this many decoded frames in its queue when the last one is measured.
QUEUED_FRAMES = 150


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    try:
        promises = measure(arguments)
    except (GoogLeNetEdgeError, JobError, OSError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\nwhat is promised (median of the rounds, and their range)")
    for promise in promises:
        print(f"  {promise.text()}")
    return 1 if arguments.check and not all(promise.kept for promise in promises) else 0


def measure(arguments: argparse.Namespace) -> list[Promise]:
    bundle = Bundle.open(arguments.bundle)
    peers = tuple(peer for peer in arguments.peers if importlib.util.find_spec(peer))
    for peer in arguments.peers:
        if peer not in peers:
            print(f"{peer} is left out: it is not installed; `pip install {PEERS[peer]}`")
    if arguments.check and not peers and arguments.peers:
        raise JobError(f"--check: got none of the peers {', '.join(arguments.peers)}, expected one; install it")
    most_frames = round(1000 * arguments.seconds / min(arguments.device_ms))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    clip = make_clip(arguments.folder, arguments.warmup + most_frames + (QUEUED_FRAMES if peers else 0))
    print(f"clip: {CLIP}; {clip.stat().st_size / 1e6:.0f} MB")
    promises: list[Promise] = []
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "lines")
        job = Job("", str(bundle.path), str(clip), output, warmup=arguments.warmup)
        bench = Bench(job, peers, arguments.rounds, arguments.seconds, most_frames)
        if "device" in arguments.only:
            for device_ms in arguments.device_ms:
                promises += bench.device(device_ms)
        if "cpu" in arguments.only:
            promises += bench.cpu()
        if "live" in arguments.only:
            for device_ms in arguments.live_ms:
                promises += bench.live(device_ms, arguments.live_seconds)
        if "overhead" in arguments.only:
            promises += bench.overhead()
    return promises


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="folder of the bundle")
    parser.add_argument("--check", action="store_true", help="exit code 1 if something that is promised is missed")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure only these")
    parser.add_argument("--peers", nargs="*", choices=sorted(PEERS), default=tuple(PEERS), help="compare with these")
    parser.add_argument("--device-ms", nargs="+", type=float, default=[5, 10, 20], help="the stand-ins for the files")
    parser.add_argument("--live-ms", nargs="+", type=float, default=[20, 50], help="the stand-ins for the camera")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one side in one round (default: %(default)g)")
    parser.add_argument("--live-seconds", type=float, default=7.0, help="the same, live (default: %(default)g)")
    parser.add_argument("--warmup", type=int, default=40, help="frames before the measured ones (default: %(default)s)")
    default_folder = Path(tempfile.gettempdir()) / "googlenet-edge-bench-loop"
    parser.add_argument("--folder", type=Path, default=default_folder, help="where the clip is kept (%(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1 or arguments.warmup < 1 or arguments.seconds <= 0 or arguments.live_seconds <= 0:
        parser.error("got a number that is not above 0, expected --rounds, --warmup and the seconds to be")
    if min(*arguments.device_ms, *arguments.live_ms) <= 0:
        parser.error("got a stand-in of 0 ms or less, expected more")
    if arguments.check and arguments.rounds < 5:
        parser.error(f"--check: got {arguments.rounds} rounds, expected at least 5")
    return arguments


if __name__ == "__main__":
    sys.exit(main())

"""Our INT8 against the tools that one would take instead: the same float32 graph, images, frames and machine.

Each tool runs in a virtual environment and a process of its own, which is watched and stopped at a limit of memory and
time; that is then its result. Every graph that comes out is run on the same frames in ONNX Runtime with its
optimizations off, is looked at for what TensorRT's rules of explicit quantization refuse, and is parsed and built in
TensorRT-RTX. Ranked by the SQNR of the logits are those that are accepted: int8, zero point 0, float biases.

    python tools/compare_quantizers.py --setup                  makes the environments (once; some GB)
    python tools/compare_quantizers.py BUNDLE                   compares, with the demo's test scenes
    python tools/compare_quantizers.py BUNDLE --sizes 32 --eval-split selection --eval-count 200        a quick look

What is finished is kept in the folder --out, and used again as long as graph, images, settings and versions are the
same; timings are only worth something if nothing else runs on the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from googlenet_edge.bundle import Bundle
from googlenet_edge.demo.dataset import SPLIT_COUNTS
from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.graph.store import sha256_of
from googlenet_edge.quantization.images import ImageOptions, collect_images
from googlenet_edge.types import CropRule
from tools.quantizers.evaluator import Score, load_frames, logits_of, score
from tools.quantizers.peers import ABLATIONS, PEERS, Peer, setup
from tools.quantizers.process import Limits
from tools.quantizers.results import Result, key_of, rank, save_json
from tools.quantizers.stages import Comparison, compare_one
from tools.quantizers.table import markdown, rich_tables


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    console = Console(stderr=True)
    try:
        if arguments.setup is not None:
            return make_environments(arguments, console)
        return compare(arguments, console)
    except (GoogLeNetEdgeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept; the same command goes on from there", file=sys.stderr)
    return 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [peer.name for peer in PEERS]
    tools = sorted({peer.environment for peer in PEERS if peer.environment})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help="the folder of an fp32 bundle")
    parser.add_argument("--setup", nargs="*", choices=tools, metavar="TOOL", help=f"make environments: {tools}")
    parser.add_argument("--images", default="calibration", help="folder of images (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 128, 512], metavar="N", help="calibration images")
    parser.add_argument("--peers", nargs="+", choices=names, default=names, metavar="PEER", help=f"some of {names}")
    parser.add_argument("--ablations", action="store_true", help="also ours with one of its options on, or one off")
    parser.add_argument("--eval-split", choices=["selection", "test"], default="test", help="(default: %(default)s)")
    parser.add_argument("--eval-count", type=int, default=1000, help="scenes to judge by (default: %(default)s)")
    parser.add_argument("--memory-limit-mb", type=int, default=12_000, help="for each tool (default: %(default)s)")
    parser.add_argument("--time-limit-s", type=float, default=3600.0, help="for each tool (default: %(default)s)")
    parser.add_argument("--environments", type=Path, default=Path(".venv-quantizers"), help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out/compare_quantizers"), help="(default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown too")
    parser.add_argument("--no-build", action="store_true", help="leave TensorRT-RTX out")
    parser.add_argument("--fresh", action="store_true", help="use nothing of an earlier run")
    arguments = parser.parse_args(argv)
    if (arguments.bundle is None) == (arguments.setup is None):
        parser.error("give a BUNDLE to compare, or --setup to make the environments")
    if not 1 <= arguments.eval_count <= SPLIT_COUNTS[arguments.eval_split] or min(arguments.sizes) < 1:
        parser.error(
            f"got --eval-count {arguments.eval_count} and --sizes {arguments.sizes}, expected 1 to "
            f"{SPLIT_COUNTS[arguments.eval_split]} scenes and at least 1 image"
        )
    if arguments.memory_limit_mb < 1 or not arguments.time_limit_s > 0:
        parser.error("got a limit of 0 or less, expected --memory-limit-mb and --time-limit-s above 0")
    return arguments


def make_environments(arguments: argparse.Namespace, console: Console) -> int:
    failed = []
    for name in arguments.setup or sorted({peer.environment for peer in PEERS if peer.environment}):
        console.print(f"making {arguments.environments / name}", soft_wrap=True)
        try:
            setup(name, arguments.environments)
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"error: {name}: {shlex.join(map(str, error.cmd))} failed; its rows will say so", file=sys.stderr)
    return 1 if failed else 0


def compare(arguments: argparse.Namespace, console: Console) -> int:
    bundle = Bundle.open(arguments.bundle)
    if bundle.manifest.precision != "fp32":
        print(f"error: {arguments.bundle}: got {bundle.manifest.precision}, expected fp32", file=sys.stderr)
        return 1
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    # A copy, under a name that says what it is: the bundle may be replaced while this runs for hours.
    graph_sha256 = sha256_of(bundle.graph_path)
    graph = out / f"fp32-{graph_sha256[:12]}.onnx"
    graph.write_bytes(bundle.graph_path.read_bytes())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        frames = load_frames(
            arguments.eval_split, arguments.eval_count, bundle.manifest.labels, bundle.crop, out, bar(display, "frames")
        )
        kept = out / f"fp32-{key_of(graph=graph_sha256, frames=frames.sha256)[:12]}.npy"
        if not kept.is_file() or arguments.fresh:
            np.save(kept, logits_of(graph, frames, bar(display, "float32")))
        reference = np.load(kept)
        common = Comparison(
            graph=graph, graph_sha256=graph_sha256, reference=reference, frames=frames,
            limits=Limits(arguments.memory_limit_mb * 1_000_000, arguments.time_limit_s),
            environments=arguments.environments.absolute(), folder=out, fresh=arguments.fresh,
            build=not arguments.no_build,
        )  # fmt: skip
        float32 = score(reference, reference, frames.truth)
        peers = [peer for peer in PEERS if peer.name in arguments.peers]
        peers += ABLATIONS if arguments.ablations else ()
        results: list[Result] = []
        sets: list[dict[str, object]] = []
        for size in sorted(set(arguments.sizes)):
            crops, described = calibration_crops(arguments.images, size, bundle.crop, out)
            sets.append(described)
            for peer in peers:
                results.append(one(common, peer, crops, size, display))
                write(arguments, common, float32, sets, results)
    shown = Console(width=None if sys.stdout.isatty() else 150)
    for table in rich_tables(results, float32):
        shown.print(table)
    for result in results:
        if result.problem:
            why = result.calibrated.error or result.problem
            shown.print(f"{result.peer}, {result.images} images: no rank: {why}", soft_wrap=True, markup=False)
    shown.print(f"everything: {out / 'compare_quantizers.json'}", soft_wrap=True, markup=False)
    if arguments.markdown:
        arguments.markdown.write_text(markdown(results, float32), encoding="utf-8")
    return 0


def one(common: Comparison, peer: Peer, crops: Path, size: int, display: Progress) -> Result:
    task = display.add_task(f"{peer.name}, {size} images", total=None)

    def say(what: str) -> None:
        display.update(task, description=f"{peer.name}, {size} images: {what}", completed=0, total=None)

    def progress(done: int, total: int) -> None:
        display.update(task, completed=done, total=total)

    try:
        return compare_one(common, peer, crops, size, progress=progress, say=say)
    finally:
        display.remove_task(task)


def bar(display: Progress, description: str) -> Callable[[int, int], None]:
    task = display.add_task(description, total=None)
    return lambda done, total: display.update(task, completed=done, total=total)


def calibration_crops(source: str, count: int, rule: CropRule, out: Path) -> tuple[Path, dict[str, object]]:
    """Write the crops that every tool gets: files evenly spread over the folder, through the runtime's own crop."""
    with collect_images(source, rule, ImageOptions(count=count)) as images:
        if len(images) < count:
            raise GoogLeNetEdgeError(f"images {source!r}: got {len(images)}, expected {count}; ask for fewer (--sizes)")
        path = out / f"crops-{count}-{images.sha256[:12]}.npy"
        np.save(path, images.read(0, count))
        return path, {"count": count, "sha256": images.sha256, "names": images.names}


def write(
    arguments: argparse.Namespace, common: Comparison, float32: Score, sets: object, results: Sequence[Result]
) -> None:
    """Write all that is known so far."""
    by_size: dict[int, list[Result]] = {}
    for result in results:
        by_size.setdefault(result.images, []).append(result)
    content = {
        "schema_version": 1,
        "command": shlex.join(["python", *sys.argv]),
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "graph": {"sha256": common.graph_sha256, "bundle": str(arguments.bundle)},
        "images": {"source": arguments.images, "sets": sets},
        "frames": {"set": common.frames.description, "sha256": common.frames.sha256},
        "limits": asdict(common.limits),
        "fp32": asdict(float32),
        "ranking": {size: rank(group) for size, group in by_size.items()},
        "results": [{**asdict(result), "problem": result.problem} for result in results],
    }
    save_json(content, common.folder / "compare_quantizers.json")


if __name__ == "__main__":
    sys.exit(main())

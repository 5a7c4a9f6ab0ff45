"""The three steps of one result: run the tool, judge its graph, build it. Each is done again only if it must be."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

import googlenet_edge
from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.graph.store import load_graph, sha256_of

from .evaluator import Frames, Progress, logits_of, score, sha256_of_sources
from .inspection import inspect_graph
from .peers import TOOLS, Environment, Peer, find_environment, variables
from .process import Limits, run_limited
from .results import Build, Calibrated, Result, key_of, load_result, save_json, save_result

__all__ = ["Comparison", "compare_one"]

BATCHES = (1, 4, 8)
TARGET = "SM86"
_BUILD_LIMITS = Limits(time_s=900.0)
_TAIL = 20


@dataclass(frozen=True)
class Comparison:
    """What all results have in common."""

    graph: Path
    graph_sha256: str
    reference: npt.NDArray[np.float32]
    """Logits of the float32 graph on the frames, float32 (K, classes)."""
    frames: Frames
    limits: Limits
    environments: Path
    folder: Path
    """Where graphs and results are kept."""
    fresh: bool = False
    build: bool = True


def compare_one(
    comparison: Comparison, peer: Peer, crops: Path, count: int, *, progress: Progress, say: Callable[[str], None]
) -> Result:
    """Return the result of one peer with so many images, as far as possible from what is there already."""
    folder = comparison.folder / f"{peer.name.replace(': ', '-').replace(' ', '-')}-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    old = None if comparison.fresh else load_result(folder / "result.json")
    before = old.keys if old else {}
    try:
        environment = find_environment(peer, comparison.environments)
    except FileNotFoundError as error:
        result = Result(
            peer.name, count, peer.note, peer.options, Calibrated("not installed", str(error)), ranked=peer.ranked
        )
        save_result(result, folder / "result.json")
        return result
    key = key_of(
        graph=comparison.graph_sha256, crops=sha256_of(crops), options=peer.options, environment=environment.sha256,
        script=_script_sha256(peer), memory=comparison.limits.memory_bytes, time=comparison.limits.time_s,
    )  # fmt: skip
    model = folder / "model.onnx"
    if old and before.get("calibrated") == key and _is_whole(model, old.calibrated):
        result = replace(old, note=peer.note)
    else:
        say("quantizing")
        calibrated = _calibrate(comparison, peer, environment, crops, folder)
        result = Result(
            peer.name, count, peer.note, peer.options, calibrated, keys={"calibrated": key}, ranked=peer.ranked
        )
    if result.calibrated.status == "ok":
        result = _judge(comparison, result, model, progress, say)
    save_result(result, folder / "result.json")
    return result


def _judge(
    comparison: Comparison, result: Result, model: Path, progress: Progress, say: Callable[[str], None]
) -> Result:
    keys, sha256 = dict(result.keys), result.calibrated.model_sha256
    try:
        result = replace(result, inspection=inspect_graph(load_graph(model)), fault=None)
        key = key_of(model=sha256, frames=comparison.frames.sha256)
        if keys.get("score") != key:
            say("judging")
            got = logits_of(model, comparison.frames, progress)
            result = replace(result, score=score(comparison.reference, got, comparison.frames.truth))
            keys["score"] = key
    except (GoogLeNetEdgeError, ValueError) as error:
        result = replace(result, fault=str(error))
    key = key_of(
        model=sha256, target=TARGET, batches=BATCHES, script=sha256_of_sources(TOOLS / "quantizers" / "rtx_build.py")
    )
    if comparison.build and keys.get("build") != key:
        say("building")
        result = replace(result, build=_build(model))
        keys["build"] = key
    return replace(result, keys=keys)


def _calibrate(comparison: Comparison, peer: Peer, environment: Environment, crops: Path, folder: Path) -> Calibrated:
    report, model = folder / "report.json", folder / "model.onnx"
    for path in (report, model):
        path.unlink(missing_ok=True)
    job = {"graph": comparison.graph, "crops": crops, "model": model, "report": report}
    save_json({**{name: str(path) for name, path in job.items()}, "options": peer.options}, folder / "job.json")
    command = [str(environment.python), "-m", f"quantizers.{peer.module}", str(folder / "job.json")]
    load = os.getloadavg()[0]  # says what the times are worth
    ended = run_limited(
        command, environment=variables(peer.environment), limits=comparison.limits, log=folder / "log.txt"
    )
    calibrated = Calibrated("error", wall_seconds=ended.seconds, peak_bytes=ended.peak_bytes, command=tuple(command))
    if ended.stopped:
        limit = f"{comparison.limits.memory_bytes / 1e6:.0f} MB" if ended.stopped == "memory" else (
            f"{comparison.limits.time_s:.0f} s"
        )  # fmt: skip
        return replace(calibrated, status=f"out of {ended.stopped}", error=f"stopped at the limit of {limit}")
    if not report.is_file():
        status = "out of memory" if ended.returncode == -9 else "error"
        last = "\n".join((folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:])
        return replace(calibrated, status=status, error=f"ended with {ended.returncode} and no report: {last}")
    said: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    said["peak_bytes"] = max(said["peak_bytes"], ended.peak_bytes)
    said["details"]["load_before"] = load
    calibrated = replace(calibrated, **said)
    if said["status"] != "ok":
        return calibrated
    if not model.is_file():
        return replace(calibrated, status="error", error="it ended without a graph")
    return replace(calibrated, model_sha256=sha256_of(model), size_bytes=model.stat().st_size)


def _build(model: Path) -> Build:
    """Build in a process of its own: the library can end a process, and only its first logger counts."""
    folder = model.parent
    report = folder / "build.json"
    report.unlink(missing_ok=True)
    job = {"graph": model, "crops": model, "model": model, "report": report}
    options = {"target": TARGET, "batches": BATCHES}
    save_json({**{name: str(path) for name, path in job.items()}, "options": options}, folder / "build-job.json")
    command = [sys.executable, "-m", "quantizers.rtx_build", str(folder / "build-job.json")]
    ended = run_limited(command, environment=variables(), limits=_BUILD_LIMITS, log=folder / "build-log.txt")
    if not report.is_file():
        stopped = f"stopped: out of {ended.stopped}" if ended.stopped else f"ended with {ended.returncode}"
        return Build(False, False, stopped, TARGET, BATCHES, {}, ended.seconds)
    said = msgspec.json.decode(report.read_bytes())
    details = said["details"]
    return Build(
        parsed=details.get("parsed", False),
        built=details.get("built", False),
        error=said["error"],
        target=TARGET,
        batches=BATCHES,
        versions=said["versions"],
        seconds=said["seconds"].get("total"),
        plan_bytes=details.get("plan_bytes"),
        warnings=details.get("warnings", {}),
    )


def _is_whole(model: Path, calibrated: Calibrated) -> bool:
    """Is the graph still the one that was made? A limit that was met leaves none; other failures are tried again."""
    if calibrated.model_sha256 is None:
        return calibrated.status in ("out of memory", "out of time")
    return model.is_file() and sha256_of(model) == calibrated.model_sha256


def _script_sha256(peer: Peer) -> str:
    """What the peer runs besides its installed packages: its script, and for ours the whole package."""
    scripts = [TOOLS / "quantizers" / f"{name}.py" for name in (peer.module, "child")]
    own = [] if peer.environment else [Path(googlenet_edge.__file__).parent]
    return sha256_of_sources(*scripts, *own)

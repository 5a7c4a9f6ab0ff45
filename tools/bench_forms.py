"""What the forms of the model cost on this machine: the paper's, torchvision's, and those with factorized kernels.

Each form is built with random weights, deployed as any checkpoint is (float32, batch norm folded in), and timed on ONNX
Runtime: one prepared crop at a time, single-stream, and then layer by layer. How long a network takes does not depend
on its weights; its labels are meaningless here. Each run is in a process of its own, and the forms take turns. A ratio
is made within a round and given as the median of the rounds with its range.

The forms differ in more than their third branch: only the paper's has local response normalisation, which is dear on a
processor. So the inception modules are also given alone: there, the paper's 5x5 kernels stand against two 3x3
(factorized), and 1xn then nx1 (factorized-asymmetric), with nothing else changed. torchvision's single 3x3 sees less.

    python tools/bench_forms.py [--forms paper torchvision factorized] [--rounds 5] [--seconds 3] [--folder DIR]

Needs torch, to make the graphs. Figures are only worth something if nothing else runs on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from googlenet_edge.bundle import Bundle
from googlenet_edge.errors import GoogLeNetEdgeError
from tools.loopbench.figures import Spread, ratios
from tools.loopbench.job import JobError

FORMS = ("paper", "torchvision", "factorized", "factorized-asymmetric")
INCEPTION = "inception modules"
WHOLE = "whole network"
_TIME_LIMIT_S = 600
_PROFILED = 30


@dataclass(frozen=True)
class Timed:
    """What one process measured, milliseconds."""

    whole_ms: float
    """The median of a frame's latency, from the crop on the host to its probabilities there."""
    rows_ms: Mapping[str, float]
    """The median of each row of Table 1, with the layers' profiler on."""

    def ms(self, what: str) -> float:
        """Return the time of the whole network, of all inception modules, or of one row; 0 for a row it has not."""
        if what == WHOLE:
            return self.whole_ms
        if what == INCEPTION:
            return sum(ms for row, ms in self.rows_ms.items() if row.startswith("inception"))
        return self.rows_ms.get(what, 0.0)


@dataclass(frozen=True)
class Setting:
    """What a measuring process is told."""

    bundle: str
    seconds: float
    threads: int | None


def make_bundle(form: str, folder: Path) -> Bundle:
    """Deploy a network of this form with random weights; take the bundle that is there from an earlier run."""
    target = folder / form
    if target.is_dir():
        return Bundle.open(target)
    import torch

    from googlenet_edge.deploy import DeployConfig, deploy
    from googlenet_edge.model.checkpoint import build_network
    from googlenet_edge.model.normalization import NORMALIZATIONS
    from googlenet_edge.model.save import save_checkpoint

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / f"{form}.safetensors"
        network, labels = build_network(form), [f"class {number}" for number in range(1000)]
        save_checkpoint(network, checkpoint, form=form, labels=labels, normalization=NORMALIZATIONS["inception"])
        return deploy(checkpoint, target, DeployConfig(name=f"{form}, random weights")).bundle


def measure(setting: Setting) -> Timed:
    """Time a bundle, in this process."""
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.runtime.layer_profile import ProfileConfig, measure_layers
    from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig
    from googlenet_edge.scenarios.queries import SINGLE_STREAM, run_queries
    from googlenet_edge.scenarios.rig import Rig
    from googlenet_edge.scenarios.work import PreparedWork

    bundle = Bundle.open(setting.bundle)
    config = OrtConfig(threads=setting.threads)
    queries = replace(SINGLE_STREAM, min_duration_ns=round(setting.seconds * 1e9))
    with Classifier(bundle, backend=OrtBackend(bundle.graph_path, config)) as classifier:
        result = run_queries(Rig(PreparedWork(classifier, bundle.golden().images)), queries)
    whole_ns = result.summary.stage("capture_to_emitted").percentile(50).duration_ns
    with OrtBackend(bundle.graph_path, replace(config, profile_layers=True)) as backend:
        layers = measure_layers(backend, bundle, ProfileConfig(inferences=_PROFILED))
    return Timed(whole_ns / 1e6, {row.row: row.median_ns / 1e6 for row in layers.rows})


def measure_apart(setting: Setting) -> Timed:
    """Time a bundle in a fresh process. Raises :class:`JobError`."""
    command = [sys.executable, "-m", "tools.bench_forms", "--measure", json.dumps(asdict(setting))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False, cwd=Path(__file__).parents[1]
    )
    if done.returncode:
        raise JobError(f"{setting.bundle}: exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return Timed(**json.loads(done.stdout.splitlines()[-1]))


def macs_of(bundle: Bundle, what: str) -> int:
    """Return the multiply-accumulates of one frame, of the parts that :meth:`Timed.ms` knows."""
    nodes = bundle.manifest.nodes
    if what == WHOLE:
        return sum(node.macs for node in nodes)
    if what == INCEPTION:
        return sum(node.macs for node in nodes if node.row.startswith("inception"))
    return sum(node.macs for node in nodes if node.row == what)


def table(bundles: Mapping[str, Bundle], runs: Mapping[str, Sequence[Timed]], what: str) -> list[str]:
    """Return the lines about the whole network or a part of it; the first form is the one compared with."""
    first = next(iter(runs))
    lines = [f"{what:24} {'GMAC':>7} {'ms, median of rounds':>26} {'GMAC/s':>8}   ratio of times to {first}'s"]
    for form, timed in runs.items():
        times = [one.ms(what) for one in timed]
        macs = macs_of(bundles[form], what)
        rate = macs / 1e6 / Spread(tuple(times)).median
        ratio = ratios(times, [one.ms(what) for one in runs[first]])
        lines.append(
            f"  {form:22} {macs / 1e9:7.3f} {Spread(tuple(times)).text('.3f'):>26} {rate:8.1f}   {ratio.text('.3f')}"
        )
    return lines


def row_table(bundles: Mapping[str, Bundle], runs: Mapping[str, Sequence[Timed]]) -> list[str]:
    """Return the lines of the table by row, in the order of the first form that has them."""
    order = dict.fromkeys(
        row for form in runs for row in (*(node.row for node in bundles[form].manifest.nodes), *runs[form][0].rows_ms)
    )
    lines = [f"{'row of Table 1, ms':24}" + "".join(f"{form:>23}" for form in runs)]
    for row in order:
        medians = [Spread(tuple(one.ms(row) for one in timed)).median for timed in runs.values()]
        if any(medians):
            lines.append(f"  {row:22}" + "".join(f"{ms:23.3f}" if ms else f"{'-':>23}" for ms in medians))
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    if arguments.measure is not None:
        print(json.dumps(asdict(measure(Setting(**json.loads(arguments.measure))))))
        return 0
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = arguments.folder or Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            bundles = {form: make_bundle(form, folder) for form in arguments.forms}
            runs: dict[str, list[Timed]] = {form: [] for form in bundles}
            print(f"load of the machine before: {os.getloadavg()[0]:.1f} (1 minute)")
            for number in range(arguments.rounds):
                for form in sorted(bundles, key=arguments.forms.index, reverse=number % 2 == 1):
                    setting = Setting(str(bundles[form].path), arguments.seconds, arguments.threads)
                    runs[form].append(measure_apart(setting))
    except (GoogLeNetEdgeError, JobError, OSError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.rounds} rounds; batch 1, ONNX Runtime, random weights; in brackets the range of the rounds")
    for lines in (table(bundles, runs, WHOLE), table(bundles, runs, INCEPTION), row_table(bundles, runs)):
        print("", *lines, sep="\n")
    print(
        "\nwhole network: latency of a frame from a prepared crop on the host to its probabilities there; rows and "
        "inception\nmodules: time of their layers, with the profiler on"
    )
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), help="the first is compared with")
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one form in one round (default: %(default)g)")
    parser.add_argument("--threads", type=int, help="threads of ONNX Runtime (default: one a physical core)")
    parser.add_argument("--folder", type=Path, help="keep the bundles here, and take those that are there")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    arguments.forms = list(dict.fromkeys(arguments.forms))
    if arguments.rounds < 5 or arguments.seconds <= 0:
        parser.error(f"got --rounds {arguments.rounds}, --seconds {arguments.seconds:g}, expected at least 5, above 0")
    return arguments


if __name__ == "__main__":
    sys.exit(main())

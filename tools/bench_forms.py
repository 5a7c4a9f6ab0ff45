"""What the forms of the model cost on this machine: the paper's, torchvision's, and those with factorized kernels.

Each form is built with random weights and deployed as any checkpoint is (float32, batch norm folded in); then
``googlenet-edge bench --layers`` compares the bundles, the first form being the one compared with. How long a network
takes does not depend on its weights; its labels are meaningless here.

The forms differ in more than their third branch: only the paper's has local response normalisation, which is dear on a
processor. So look at the inception modules too: there, the paper's 5x5 kernels stand against two 3x3 (factorized), and
1xn then nx1 (factorized-asymmetric), with nothing else changed. torchvision's single 3x3 sees less.

    python tools/bench_forms.py [--forms paper torchvision factorized] [--rounds 5] [--folder DIR]

Other options are those of ``bench --layers``, such as ``--threads`` and ``--json``. Needs torch, to make the graphs;
with ``--folder`` the bundles are kept, and can be compared on a device without it. Figures are only worth something if
nothing else runs on the machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from googlenet_edge.cli.main import main as googlenet_edge
from googlenet_edge.errors import GoogLeNetEdgeError

FORMS = ("paper", "torchvision", "factorized", "factorized-asymmetric")


def make_bundle(form: str, folder: Path) -> Path:
    """Deploy a network of this form with random weights; take the bundle that is there from an earlier run."""
    target = folder / form
    if target.is_dir():
        return target
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
        deploy(checkpoint, target, DeployConfig(name="random weights"))
    return target


def main(argv: Sequence[str] | None = None) -> int:
    arguments, others = parse(argv)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = arguments.folder or Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            bundles = [str(make_bundle(form, folder)) for form in arguments.forms]
            return googlenet_edge(["bench", *bundles, "--layers", "--rounds", str(arguments.rounds), *others])
    except (GoogLeNetEdgeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), help="the first is compared with")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="keep the bundles here, and take those that are there")
    arguments, others = parser.parse_known_args(argv)
    arguments.forms = list(dict.fromkeys(arguments.forms))
    if len(arguments.forms) < 2:
        parser.error(f"--forms: got {arguments.forms[0]} alone, expected two or more")
    return arguments, others


if __name__ == "__main__":
    sys.exit(main())

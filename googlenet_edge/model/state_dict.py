"""Finding the state dict in what a training script saved, under whatever entry and behind whatever prefix."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from torch import Tensor

from googlenet_edge.errors import CheckpointError
from googlenet_edge.model.detect import first_few
from googlenet_edge.model.table import TABLE

__all__ = ["find_state_dict"]

_log = logging.getLogger(__name__)

# The entries under which training scripts keep the weights: the first of these that holds a state dict is taken.
_ENTRIES = (
    *(
        "state_dict",
        "model_state_dict",
        "model_state",
        "model",
        "net",
        "network",
        "net_state_dict",
        "weights",
        "params",
    ),
    *("module", "state_dict_ema", "ema_state_dict", "model_ema"),
)

# First components of names that belong to a network itself: never a wrapper's prefix.
_OWN = frozenset({row.name for row in TABLE} | {"a", "b", "c", "d", "e", "f", "bn", "features", "classifier"})

# The first convolution of each of our networks, by which it is found among other modules.
_FIRST_CONVOLUTIONS = ("conv1.conv.weight", "a.0.0.weight")


def find_state_dict(saved: object) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the state dict in ``saved``, without wrappers' prefixes, and the entries that stood beside it.

    ``saved`` is what a file held: a state dict, or a dict with one in it, at most two levels down. The prefixes are
    those of DataParallel (``module.``), torch.compile (``_orig_mod.``), Lightning (``model.``) or any other. A
    classifier in an ``nn.Sequential`` with a dropout (``fc.1.weight``) is taken as the plain layer. Raises
    :class:`CheckpointError` where there is no state dict, or more than one.
    """
    if isinstance(saved, Tensor):
        raise CheckpointError(
            f"got a single tensor of shape {tuple(saved.shape)}, expected a state dict of named tensors"
        )
    if not isinstance(saved, Mapping):
        raise CheckpointError(f"got a {type(saved).__name__}, expected a state dict of named tensors")
    found = _search(saved, depth=2)
    if found is None:
        raise CheckpointError(
            f"got a dict with the entries {first_few([str(key) for key in saved], 8) or '(none)'} and no weights, "
            "expected a state dict of named tensors, or one under 'state_dict' or 'model'; "
            "save it as torch.save(model.state_dict(), 'weights.pth')"
        )
    tensors, beside = found
    return _plain_classifier(_one_network(_without_prefixes(tensors))), beside


def _search(saved: Mapping[object, object], depth: int) -> tuple[dict[str, Tensor], dict[str, object]] | None:
    """Return the state dict nearest to the top, and all entries that stood on the way to it; None if there is none."""
    inner = {}
    for key, value in saved.items() if depth > 0 else ():
        if isinstance(value, Mapping) and (result := _search(value, depth - 1)) is not None:
            inner[key] = result
    chosen = next((key for key in _ENTRIES if key in inner), None)
    if chosen is None and len(inner) > 1:
        raise CheckpointError(
            f"got more than one state dict, under the entries {first_few([str(key) for key in inner], 8)}; "
            "expected one, or one that is called 'state_dict' or 'model'; save the one to be deployed on its own"
        )
    if inner:
        key = next(iter(inner)) if chosen is None else chosen
        tensors, beside = inner[key]
        return tensors, {str(name): value for name, value in saved.items() if name != key} | beside
    tensors = {name: value for name, value in saved.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not any("." in name for name in tensors):  # an optimizer's state, a tensor of losses
        return None
    return tensors, {str(name): value for name, value in saved.items() if name not in tensors}


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the first components that all their names share, one wrapper after the other."""
    tensors = {name.replace("._orig_mod.", "."): tensor for name, tensor in tensors.items() if name != "n_averaged"}
    while len(first := {name.partition(".")[0] for name in tensors}) == 1 and not first & _OWN:
        if not all(name.partition(".")[2] for name in tensors):
            break
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    return tensors


def _one_network(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what belongs to our network where it stands among other modules, such as a loss with weights."""
    if any(name in tensors for name in _FIRST_CONVOLUTIONS):
        return tensors
    prefixes = sorted(
        name.removesuffix(first) for name in tensors for first in _FIRST_CONVOLUTIONS if name.endswith(f".{first}")
    )
    if not prefixes:
        return tensors
    if len(prefixes) > 1:
        raise CheckpointError(
            f"got more than one network, under the prefixes {first_few(prefixes, 8)}; expected one; save the one to be "
            "deployed on its own"
        )
    others = [name for name in tensors if not name.startswith(prefixes[0])]
    _log.info("weights: took those under %r; %d others are left out (%s)", prefixes[0], len(others), first_few(others))
    return {name.removeprefix(prefixes[0]): tensor for name, tensor in tensors.items() if name not in others}


def _plain_classifier(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with the one layer of a sequential classifier named as if it stood alone."""
    layers = {match[1] for name in tensors if (match := re.fullmatch(r"fc\.(\d+)\.\w+", name))}
    if len(layers) != 1 or "fc.weight" in tensors:
        return tensors
    prefix = f"fc.{layers.pop()}."
    return {name.replace(prefix, "fc.") if name.startswith(prefix) else name: value for name, value in tensors.items()}

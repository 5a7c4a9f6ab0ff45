"""Fixtures for the model: weights by recipe, and the small network's state dict and files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from googlenet_edge.model.checkpoint import build_network

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: the figures do not depend on it, and other work may be running."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return the values of a tensor of the golden network: a function of its name and shape alone."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rpartition(".")[2]
    if kind == "running_var":
        values = generator.uniform(0.5, 1.5, shape)
    elif kind == "running_mean":
        values = 0.1 * generator.standard_normal(shape)
    elif ".bn." in name:
        values = generator.uniform(0.5, 1.5, shape) if kind == "weight" else 0.1 * generator.standard_normal(shape)
    else:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 100
        values = generator.standard_normal(shape) * (2.0 / fan_in) ** 0.5
    return values.astype(np.float32)


@pytest.fixture(scope="session")
def torchvision_names() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state dict of torchvision 0.29.1's ``googlenet(aux_logits=True)``."""
    shapes = {}
    for line in (DATA / "torchvision_googlenet_names.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, shape = line.partition(" ")
            shapes[name] = tuple(int(length) for length in shape.strip("()").split(",") if length.strip())
    return shapes


@pytest.fixture(scope="session")
def torchvision_state(torchvision_names: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A state dict with torchvision's names, auxiliary heads included, and the recipe's values. Do not change it."""
    return {
        name: torch.tensor(0) if name.endswith("num_batches_tracked") else torch.from_numpy(recipe(name, shape))
        for name, shape in torchvision_names.items()
    }


@pytest.fixture(scope="session")
def golden() -> dict[str, npt.NDArray[np.float32]]:
    """Logits of torchvision 0.29.1's ``googlenet`` with the recipe's weights, in evaluation mode.

    ``plain`` and ``transform_input`` are float32 (2, 1000), for ``transform_input`` False and True; ``input`` is what
    both were given: float32 (2, 3, 224, 224), uniform between 0 and 1.
    """
    with np.load(DATA / "torchvision_golden.npz") as file:
        logits = {name: file[name] for name in file.files}
    return logits | {"input": np.random.default_rng(0).random((2, 3, 224, 224)).astype(np.float32)}


@pytest.fixture(scope="session")
def small_state() -> dict[str, Tensor]:
    """The state dict of the small Keras network with 5 classes: 20 KB. Do not change it."""
    torch.manual_seed(0)
    return build_network("keras-inception", 5).state_dict()


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save anything with torch.save under a name in the test's own folder."""

    def write(content: object, name: str = "weights.pth", *, legacy: bool = False) -> Path:
        path = tmp_path / name
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        return path

    return write

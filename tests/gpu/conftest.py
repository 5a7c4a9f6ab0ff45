"""Fixtures for what only a real GPU shows: the device, bundles of every precision, and classifiers on both backends.

``make test-gpu`` runs this folder. Bundles come from the variable BUNDLES (folders, with spaces between them), which is
the way on a board; where torch is installed and BUNDLES is not set, the demo's are made, in every precision. The tiny
classifier of ``tests/conftest.py`` is always among them.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.capture.source import open_source
from googlenet_edge.engine.flavour import load_flavour
from googlenet_edge.engine.store import EnginePlaces
from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
from googlenet_edge.runtime.trt_config import TrtConfig
from googlenet_edge.runtime.trt_device import DeviceFacts, find_device
from googlenet_edge.types import Frame

PROJECT = Path(__file__).parents[2]
TINY = "tiny"
MADE = ("fp32", "fp16", "int8")
FRAMES = 200


@cache
def look_for_device() -> DeviceFacts | str:
    """Return the GPU, or why there is none that TensorRT could use."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return "GPUs are hidden from this run: `make test-gpu` runs these tests"
    try:
        load_flavour()
        return find_device()
    except GoogLeNetEdgeError as error:
        return str(error).partition(";")[0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that asks for a bundle with each of them."""
    if "bundle" not in metafunc.fixturenames:
        return
    names = [TINY]
    if isinstance(look_for_device(), DeviceFacts):
        given = os.environ.get("BUNDLES")
        can_make = given is None and importlib.util.find_spec("torch") is not None
        names += MADE if can_make else (given or "").split()
    metafunc.parametrize("bundle", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def device() -> DeviceFacts:
    """The GPU. Every test here asks for it, and is skipped, with the reason, where there is none."""
    found = look_for_device()
    if isinstance(found, str):
        pytest.skip(f"needs an NVIDIA GPU with TensorRT: {found}")
    return found


@pytest.fixture(scope="session")
def bundle(
    request: pytest.FixtureRequest,
    device: DeviceFacts,
    tmp_path_factory: pytest.TempPathFactory,
    _tiny_bundle_once: Path,
) -> Bundle:
    """One of the bundles."""
    name: str = request.param
    if name == TINY:
        return Bundle.open(_tiny_bundle_once)
    if name not in MADE:
        return Bundle.open(name)
    folder = tmp_path_factory.mktemp("made") / name
    # Small calibration: what is tested is the engine against its graph, not how good the graph is.
    calibration = (
        ["--images", str(PROJECT / "calibration"), "--count", "32", "--method", "max"] if name == "int8" else []
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "googlenet_edge",
            "deploy",
            "demo",
            "-o",
            str(folder),
            "--precision",
            name,
            *calibration,
        ],
        check=True,
        timeout=1800,
    )
    return Bundle.open(folder)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> EnginePlaces:
    """Where these tests keep their engines: not in the bundles, which are the user's."""
    return EnginePlaces(cache=tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="session")
def options(engines: EnginePlaces) -> BackendOptions:
    """The TensorRT that is here, and nothing else in its place."""
    return BackendOptions(choice=load_flavour().name, places=engines)


@pytest.fixture
def open_classifier(
    bundle: Bundle, options: BackendOptions, request: pytest.FixtureRequest
) -> Callable[[TrtConfig], Classifier]:
    """Open the bundle on the GPU with these settings; it is closed at the end of the test."""

    def opened(config: TrtConfig) -> Classifier:
        backend = open_backend(bundle, replace(options, trt=config)).backend
        classifier = Classifier(bundle, backend=backend, golden_frames=None)
        request.addfinalizer(classifier.close)
        return classifier

    return opened


@pytest.fixture(scope="session")
def frames() -> list[Frame]:
    """Frames of the demo's scene: what they show need not be what a bundle knows."""
    with open_source("demo:?size=640x360") as source:
        return list(islice(source, FRAMES))

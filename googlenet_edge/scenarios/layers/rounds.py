"""The rounds of a comparison: each times every bundle once, in a process of its own, and they take turns."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from googlenet_edge.bundle import Bundle
from googlenet_edge.errors import BackendError, InputError, UsageError
from googlenet_edge.runtime.layer_profile import ProfileConfig
from googlenet_edge.runtime.open_backend import BackendOptions
from googlenet_edge.scenarios.matrix.jobs import LayersJob, LayersTimed
from googlenet_edge.scenarios.matrix.process import JobFailedError, expect_answer, run_job
from googlenet_edge.scenarios.matrix.rounds import round_order
from googlenet_edge.types import Clock

__all__ = ["DEFAULT_ROUNDS", "Entrant", "LayersRequest", "Turn", "entrants", "run_rounds"]

DEFAULT_ROUNDS = 5
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Entrant:
    """A bundle that takes part."""

    letter: str
    """What tables call it: "A" is the one compared with."""
    title: str
    """Its folder's name; where two have the same, the path as it was given."""
    bundle: Bundle


@dataclass(frozen=True)
class LayersRequest:
    """What is to be compared, and how. Raises :class:`InputError` for fewer than two bundles or rounds."""

    entrants: tuple[Entrant, ...]
    options: BackendOptions
    """What each is opened with."""
    config: ProfileConfig
    rounds: int = DEFAULT_ROUNDS

    def __post_init__(self) -> None:
        if len(self.entrants) < 2 or self.rounds < 2:
            raise InputError(
                f"layers: got {len(self.entrants)} bundles and {self.rounds} rounds, expected at least 2 of each"
            )


@dataclass(frozen=True)
class Turn:
    """What is timed now."""

    entrant: Entrant
    round: int
    """From 1."""
    done: int
    """Turns."""
    left: int
    """Turns to come, this one too."""
    seconds_left: float | None
    """About; None before the first one is done."""


def entrants(folders: Sequence[Path]) -> tuple[Entrant, ...]:
    """Open bundles, each verified, and name them; the first one is the one compared with.

    Raises :class:`BundleError` for one that does not open, and :class:`UsageError` for too many of them.
    """
    if len(folders) > len(_LETTERS):
        raise UsageError(f"bench: got {len(folders)} bundles with --layers, expected at most {len(_LETTERS)}")
    names = [folder.name or str(folder) for folder in folders]
    titles = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    return tuple(
        Entrant(letter, title, Bundle.open(folder))
        for letter, title, folder in zip(_LETTERS, titles, folders, strict=False)
    )


def run_rounds(
    request: LayersRequest, *, on_turn: Callable[[Turn], None] = lambda _turn: None, clock: Clock = time.monotonic_ns
) -> tuple[tuple[LayersTimed, ...], ...]:
    """Time all bundles, and return the rounds of each, in their order.

    ``on_turn`` is called between measurements. An exception that it raises, or KeyboardInterrupt at any time, ends the
    process that is measuring. Raises :class:`BackendError` where a bundle cannot be measured, with the reason, and
    OSError where no process can be started.
    """
    count = len(request.entrants)
    found: list[list[LayersTimed]] = [[] for _ in range(count)]
    never = threading.Event()
    with tempfile.TemporaryDirectory(prefix="googlenet-edge-") as scratch:
        began_ns, turns = clock(), count * request.rounds
        for number in range(request.rounds):
            for index in round_order(count, number):
                entrant, done = request.entrants[index], sum(map(len, found))
                seconds_left = (clock() - began_ns) / 1e9 / done * (turns - done) if done else None
                on_turn(Turn(entrant, number + 1, done, turns - done, seconds_left))
                job = LayersJob(
                    bundle=entrant.bundle.path.absolute(),
                    options=request.options,
                    config=request.config,
                    scratch=Path(scratch),
                )
                try:
                    found[index].append(expect_answer(LayersTimed, run_job(job, stop=never)))
                except JobFailedError as error:
                    raise BackendError(f"{entrant.letter}, {entrant.title}, round {number + 1}: {error}") from error
    return tuple(map(tuple, found))

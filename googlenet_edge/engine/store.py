"""The files: plans on disk, each with a sidecar that says what it was built for, found only where all of that fits.

What builds and loads them is above this, in ``runtime``.

::

    BUNDLE/engines/                                     or CACHE/<sha256 of the graph>/
      tensorrt-10.3.0.30-sm87-1f0c52a6b3de.plan         TensorRT's serialized engine
      tensorrt-10.3.0.30-sm87-1f0c52a6b3de.json         the sidecar, see sidecar.py
      .lock                                             held while an engine is built

The name is for people; what counts is the sidecar.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet_edge.bundle.reader import ENGINES_NAME, is_engine_file
from googlenet_edge.engine.build_lock import build_lock
from googlenet_edge.engine.match import differences
from googlenet_edge.engine.plain_file import flush_to_disk, replace_plain
from googlenet_edge.engine.prune import prune
from googlenet_edge.engine.sidecar import BuildFacts, GoldenCheck, Sidecar, encode_sidecar, key_sha256
from googlenet_edge.engine.stored import StoredEngine, sidecar_path
from googlenet_edge.errors import EngineError, OutputError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.key import EngineKey
    from googlenet_edge.engine.options import BuildOptions

__all__ = ["EnginePlaces", "EngineStore", "Lookup", "StoredEngine"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnginePlaces:
    """Where engines may be kept besides the bundle's own folder."""

    cache: Path | None = None
    """Keep them here and not in the bundle; those that are in the bundle are still used."""
    fallback: Path | None = None
    """Keep them here if the bundle cannot be written."""
    scratch: Path | None = None
    """Keep files here that only save time: TensorRT's timing cache, TensorRT-RTX's runtime cache. None: keep none."""


@dataclass(frozen=True)
class Lookup:
    """What the store has for a key."""

    engine: StoredEngine | None
    plan: bytes
    """The engine's, verified; empty without one."""
    reasons: tuple[str, ...]
    """Why what is stored does not serve: damaged, or built for something else; the nearest one is named."""
    others: tuple[str, ...] = ()
    """The nearest of those that differ in nothing but their options: one built now will stand beside it."""
    options: BuildOptions | None = None
    """Without an engine: those of one that would serve but for its damage or its TensorRT version, to build it anew."""


class EngineStore:
    """The engines of one graph, in one folder or several."""

    def __init__(self, folders: tuple[Path, ...], readable: tuple[Path, ...] = ()) -> None:
        """Keep engines in the first of ``folders`` that can be written; look also into ``readable``, before those."""
        self.folders = folders
        self._searched = tuple(dict.fromkeys((*readable, *folders)))

    @classmethod
    def for_bundle(cls, bundle: Bundle, places: EnginePlaces | None = None) -> EngineStore:
        """Return the store of this bundle's engines."""
        places = places or EnginePlaces()
        inside = bundle.path / ENGINES_NAME
        if places.cache is not None:
            return cls((places.cache / bundle.graph_sha256,), readable=(inside,))
        if places.fallback is not None:
            return cls((inside, places.fallback / bundle.graph_sha256))
        return cls((inside,))

    def look(
        self,
        key: EngineKey,
        *,
        least_batch: int | None = None,
        here: GoldenCheck | None = None,
        skip: Callable[[StoredEngine], bool] | None = None,
    ) -> Lookup:
        """Look for an engine with this key; ``least_batch`` as in :func:`googlenet_edge.engine.match.differences`.

        Of several that serve, those go first that gave the golden frames' answers on the device of ``here``, and those
        last that missed them; then the one with the smallest largest batch, which takes the least memory; then the one
        that was built last. ``skip`` leaves out some. Nothing here raises: what cannot be read is as good as not there,
        and a reason.
        """

        def rank(engine: StoredEngine) -> tuple[int, int, str]:
            known = None if here is None else engine.check_like(here)
            standing = 0 if known is None else 1 if known.passed else -1
            return standing, -engine.key.options.max_batch, engine.facts.created

        serving: list[StoredEngine] = []
        reasons: list[str] = []
        near: list[tuple[int, str]] = []
        others: list[tuple[int, str]] = []
        options: BuildOptions | None = None
        for path in self._sidecars():
            try:
                stored = StoredEngine.open(path)
            except (EngineError, OSError) as error:
                why = getattr(error, "strerror", None) or error
                reasons.append(f"stored engine {str(path)!r} cannot be used: {why}")
                continue
            found = differences(stored.key, key, least_batch=least_batch)
            if found:
                same_options = replace(key, options=stored.key.options)
                kind = near if differences(stored.key, same_options) else others
                kind.append((len(found), f"stored engine {str(stored.path)!r} is not for this: {'; '.join(found)}"))
                now = replace(stored.key, tensorrt_version=key.tensorrt_version)
                if not differences(now, key, least_batch=least_batch):
                    options = stored.key.options
            elif skip is None or not skip(stored):
                serving.append(stored)
        for stored in sorted(serving, key=rank, reverse=True):
            try:
                return Lookup(stored, stored.read(), tuple(reasons))
            except EngineError as error:
                reasons.append(f"stored {error}")
                options = stored.key.options
        if near and not serving:
            reasons.append(min(near)[1])
        return Lookup(None, b"", tuple(reasons), tuple(text for _, text in sorted(others)[:1]), options)

    def writable(self) -> Path:
        """Return the folder that engines are written to, and make it.

        Raises :class:`OutputError` if there is none that can be written.
        """
        problems = []
        for folder in self.folders:
            probe = folder / f".probe.{os.getpid()}.partial"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe.touch()
                probe.unlink()
            except (OSError, ValueError) as error:
                problems.append(f"{str(folder)!r}: {getattr(error, 'strerror', None) or error}")
                _logger.info("engines cannot be kept in %s", problems[-1])
            else:
                return folder
        it = "it" if len(problems) == 1 else "one of them"
        raise OutputError(
            f"engines cannot be kept in {', nor in '.join(problems)}; make {it} writable, or name another folder with "
            "--cache"
        )

    @contextmanager
    def locked(self, *, stop: threading.Event | None = None) -> Iterator[None]:
        """Keep other processes from building engines of this graph; see :func:`build_lock`.

        Raises :class:`OutputError` if no folder can be written, :class:`EngineError` when stopped while waiting.
        """
        folder = self.writable()
        with build_lock(folder, stop=stop) as held:
            if held:
                prune(folder, None)
            yield

    def save(
        self, key: EngineKey, plan: bytes, facts: BuildFacts, *, checks: tuple[GoldenCheck, ...] = ()
    ) -> StoredEngine:
        """Store a plan, in the place of one with the same key. To be called inside :meth:`locked`.

        Engines that no one can use any more make room: see :func:`googlenet_edge.engine.prune.prune`. Raises
        :class:`OutputError`, with a remedy, if the disk is full or the folder cannot be written; then nothing half is
        left.
        """
        folder = self.writable()
        sidecar = Sidecar(key, hashlib.sha256(plan).hexdigest(), len(plan), facts, checks)
        path = folder / f"{_stem(key)}.plan"
        prune(folder, key)  # first: the room may be needed
        with replace_plain(path, "engine") as file:
            file.write(plan)
            flush_to_disk(file)
            # The new plan is on the disk. The old sidecar goes before the old plan does: no crash leaves a wrong pair.
            sidecar_path(path).unlink(missing_ok=True)
        try:
            self._write_sidecar(path, sidecar)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return StoredEngine.of(path, sidecar)

    def record(self, engine: StoredEngine, check: GoldenCheck) -> StoredEngine:
        """Write into the sidecar how the golden frames went on a device, in the place of an earlier such check.

        Raises :class:`OutputError` if it cannot be written.
        """
        kept = tuple(known for known in engine.checks if not known.is_about(check))
        engine = replace(engine, checks=(*kept, check))
        sidecar = Sidecar(engine.key, engine.plan_sha256, engine.size_bytes, engine.facts, engine.checks)
        self._write_sidecar(engine.path, sidecar)
        return engine

    def _write_sidecar(self, plan: Path, sidecar: Sidecar) -> None:
        with replace_plain(sidecar_path(plan), "record of the engine") as file:
            file.write(encode_sidecar(sidecar))
            flush_to_disk(file)

    def _sidecars(self) -> list[Path]:
        found: list[Path] = []
        for folder in self._searched:
            with contextlib.suppress(OSError, ValueError):  # a name that is too long, a zero byte in it
                found += sorted(folder.glob("*.json"))
        return [path for path in found if is_engine_file(path.name)]


def _stem(key: EngineKey) -> str:
    capability = "+".join(part.replace(".", "") for part in key.compute_capability.split("+"))
    name = f"{key.flavour}-{key.tensorrt_version}-sm{capability}-{key_sha256(key)[:12]}"
    return re.sub(r"[^A-Za-z0-9.+_-]", "_", name)

"""From a bundle to a plan: found in the store, or built and put there. Nothing is loaded onto the device here."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from googlenet_edge import __version__
from googlenet_edge.engine.build import BuildSettings, BuiltEngine, build_engine
from googlenet_edge.engine.key import EngineKey
from googlenet_edge.engine.sidecar import BuildFacts
from googlenet_edge.engine.store import EnginePlaces, EngineStore, Lookup
from googlenet_edge.engine.timing_cache import timing_cache_path
from googlenet_edge.errors import BundleError, EngineError, OutputError
from googlenet_edge.runtime.golden_record import missed_before, unproved, utc_now
from googlenet_edge.runtime.trt_device import PrimaryContext, device_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.options import BuildOptions
    from googlenet_edge.engine.store import StoredEngine
    from googlenet_edge.runtime.trt_device import DeviceFacts

__all__ = ["EngineRequest", "EngineSource", "Obtained"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineRequest:
    """Which engine of a bundle is wanted, and how to come by it."""

    flavour: Flavour
    options: BuildOptions
    """How to build one if there is none."""
    least_batch: int | None = None
    """None: only an engine with exactly these options will do; a number: any that takes so many frames."""
    places: EnginePlaces = field(default_factory=EnginePlaces)
    settings: BuildSettings = field(default_factory=BuildSettings)


@dataclass(frozen=True)
class Obtained:
    """A plan, ready to be loaded."""

    plan: bytes
    engine: StoredEngine | None
    """None: it could not be stored."""
    built: BuiltEngine | None
    """None: it was in the store."""
    reasons: tuple[str, ...]
    """Why what was stored before did not serve; nothing of engines that only have other options, and stay."""
    options: BuildOptions
    """What it was built with."""

    @property
    def name(self) -> str:
        """For people."""
        return "an engine that is not stored" if self.engine is None else f"engine {self.engine.path.name}"

    def stored(self) -> StoredEngine:
        """Return the engine on disk; :class:`OutputError` if there is none."""
        if self.engine is None:
            raise OutputError("engine: got one that is not stored, expected it on disk; make room and build it again")
        return self.engine


class EngineSource:
    """Finds or builds the engines of one bundle for one device, or for the targets that the options name."""

    def __init__(self, bundle: Bundle, request: EngineRequest, device: DeviceFacts | None) -> None:
        """Raise :class:`EngineError` where neither the options nor a device say what to build for."""
        self.store = EngineStore.for_bundle(bundle, request.places)
        self.key = _key(bundle, request, device)
        self.here = None if device is None else unproved(device, request.flavour, bundle)
        """A golden check of this device that is still to be made."""
        self.bundle, self.request, self._device = bundle, request, device

    def obtain(self, unusable: Callable[[StoredEngine], str], *, must_store: bool = False) -> Obtained:
        """Return the engine from the store, or build one where ``unusable`` says why that one will not do.

        Two processes do not build the same engine: the second one waits, and finds the first one's. With ``must_store``
        :class:`OutputError` is raised, before building where possible, if the engine cannot be stored; else a warning
        says so.
        """
        found = self._find(unusable)
        if isinstance(found, Obtained):
            return found
        with self._locked(must_store=must_store) as store:
            # Another process may have built it while this one waited.
            found = self._find(unusable)
            if isinstance(found, Obtained):
                return found
            # Who must have it stored asked for a build, and tells the reasons in its own way.
            level = logging.INFO if must_store else logging.WARNING
            for reason in (*found.reasons, *found.others):
                _logger.log(level, "%s; an engine is built", reason)
            return self._build(found, store, must_store=must_store)

    def obtain_smaller(self, large: Obtained, tried: Collection[Path]) -> Obtained | None:
        """Return an engine that may fit where ``large`` did not: a stored one that takes no more frames at once.

        Else one that is built, if what is asked for is less than what ``large`` takes. None if there is nothing to try;
        ``tried`` are those that were.
        """
        request, most = self.request, large.options.max_batch
        if request.least_batch is None:
            return None

        def skip(engine: StoredEngine) -> bool:
            missed = self.here is not None and missed_before(engine, self.here) is not None
            return missed or engine.path in tried or engine.key.options.max_batch > most

        def look() -> Obtained | None:
            lookup = self.store.look(self.key, least_batch=request.least_batch, here=self.here, skip=skip)
            return None if lookup.engine is None else _stored(lookup, lookup.engine)

        least = request.options.max_batch
        if (found := look()) is not None:
            return found
        if least >= most:
            return None
        options = replace(large.options, min_batch=1, opt_batch=min(large.options.opt_batch, least), max_batch=least)
        with self._locked(must_store=False) as store:
            return look() or self._build(Lookup(None, b"", (), options=options), store, must_store=False)

    def _find(self, unusable: Callable[[StoredEngine], str]) -> Obtained | Lookup:
        """Return the engine, or why there is none and the options of one that was nearly right."""
        lookup = self.store.look(self.key, least_batch=self.request.least_batch, here=self.here)
        if lookup.engine is None:
            return lookup
        why = unusable(lookup.engine)
        if not why:
            return _stored(lookup, lookup.engine)
        reason = f"stored engine {str(lookup.engine.path)!r} {why}"
        return Lookup(None, b"", (*lookup.reasons, reason), options=lookup.engine.key.options)

    @contextlib.contextmanager
    def _locked(self, *, must_store: bool) -> Iterator[EngineStore | None]:
        """Hold the store's lock, and give the store; None, after a warning, if it cannot be written."""
        try:
            self.store.writable()
        except OutputError as error:
            if must_store:
                raise
            _logger.warning("the engine will be built each time: %s", error)
            yield None
            return
        with self.store.locked(stop=self.request.settings.stop):
            yield self.store

    def _build(self, lookup: Lookup, store: EngineStore | None, *, must_store: bool) -> Obtained:
        request, key = self.request, self.key
        if lookup.options is not None and request.least_batch is not None:
            # Whoever built it chose these options: a new TensorRT shall not bring back the defaults.
            key = replace(key, options=replace(lookup.options, targets=request.options.targets))
        built = build_engine(request.flavour, self._graph(), key.options, settings=self._settings())
        for note in built.notes:
            _logger.info("%s", note)
        engine = None
        if store is not None:
            try:
                engine = store.save(key, built.plan, BuildFacts(built.seconds, utc_now(), __version__, built.fallback))
            except OutputError as error:
                if must_store:
                    raise
                _logger.warning("the engine is built again the next time, because it cannot be stored: %s", error)
        return Obtained(built.plan, engine, built, lookup.reasons, key.options)

    def _graph(self) -> bytes:
        """Read the graph; it may have changed since the bundle was opened, and the key is of that one."""
        try:
            graph = self.bundle.graph_path.read_bytes()
        except OSError as error:
            raise BundleError(f"graph {str(self.bundle.graph_path)!r}: cannot be read: {error.strerror}") from error
        sha256 = hashlib.sha256(graph).hexdigest()
        if sha256 != self.bundle.graph_sha256:
            raise BundleError(
                f"graph {str(self.bundle.graph_path)!r}: got sha256 {sha256}, expected {self.bundle.graph_sha256}: "
                "it was altered since the bundle was opened; start again"
            )
        return graph

    def _settings(self) -> BuildSettings:
        settings, places, flavour = self.request.settings, self.request.places, self.request.flavour
        if self._device is None:
            return settings
        if self._device.ordinal != 0:
            settings = replace(settings, device_context=partial(_device_current, self._device))
        if settings.timing_cache is None and places.scratch is not None and flavour.has_timing_cache:
            settings = replace(settings, timing_cache=timing_cache_path(places.scratch, flavour, self._device.name))
        return settings


def _stored(lookup: Lookup, engine: StoredEngine) -> Obtained:
    return Obtained(lookup.plan, engine, None, (), engine.key.options)


def _key(bundle: Bundle, request: EngineRequest, device: DeviceFacts | None) -> EngineKey:
    flavour, targets = request.flavour, request.options.targets
    if targets:
        capability = "+".join(targets)
    elif device is not None:
        capability = device.compute_capability
    else:
        raise EngineError("engine: got no GPU and no targets, expected one of them; name the targets")
    # A plan of TensorRT-RTX has no tactics timed on one device: it is for a compute capability.
    device_name = device.name if device is not None and not flavour.is_rtx else ""
    return EngineKey(bundle.graph_sha256, flavour.name, flavour.version, capability, device_name, request.options)


@contextlib.contextmanager
def _device_current(device: DeviceFacts) -> Iterator[None]:
    """Make a device the current one of this thread: TensorRT builds for that one."""
    context = PrimaryContext()
    try:
        context.open(device.ordinal)
    except Exception as error:  # of pycuda's, which is not imported here
        raise device_failure(error, device, "making its context") from error
    try:
        yield
    finally:
        context.close()

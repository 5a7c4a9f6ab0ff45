"""Where a bundle's engine comes from: the store, or a build whose result goes into the store."""

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
from googlenet_edge.engine.store import EnginePlaces, EngineStore
from googlenet_edge.engine.timing_cache import timing_cache_path
from googlenet_edge.errors import BundleError, EngineError, OutputError
from googlenet_edge.runtime.golden_record import unproved, utc_now
from googlenet_edge.runtime.trt_device import PrimaryContext, device_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    """Why what was stored before did not serve."""

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
        self._bundle, self._request, self._device = bundle, request, device

    def obtain(self, usable: Callable[[StoredEngine], bool], *, must_store: bool = False) -> Obtained:
        """Return the engine from the store if it is ``usable``, else build it.

        Two processes do not build the same engine: the second one waits, and finds the first one's. With ``must_store``
        :class:`OutputError` is raised, before building where possible, if the engine cannot be stored; else a warning
        says so.
        """
        found, _, _ = self._find(usable)
        if found is not None:
            return found
        try:
            self.store.writable()
        except OutputError as error:
            if must_store:
                raise
            _logger.warning("the engine will be built each time: %s", error)
            lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        else:
            lock = self.store.locked(stop=self._request.settings.stop)
        with lock:
            # Another process may have built it while this one waited.
            found, reasons, options = self._find(usable)
            return found or self._build(reasons, options, must_store=must_store)

    def _find(
        self, usable: Callable[[StoredEngine], bool]
    ) -> tuple[Obtained | None, tuple[str, ...], BuildOptions | None]:
        """Return the engine, or why there is none and the options of one that was nearly right."""
        lookup = self.store.look(self.key, least_batch=self._request.least_batch, here=self.here)
        if lookup.engine is None:
            return None, lookup.reasons, lookup.options
        if usable(lookup.engine):
            return Obtained(lookup.plan, lookup.engine, None, ()), (), None
        reason = f"stored engine {str(lookup.engine.path)!r} is to be replaced"
        return None, (*lookup.reasons, reason), lookup.engine.key.options

    def _build(self, reasons: tuple[str, ...], options: BuildOptions | None, *, must_store: bool) -> Obtained:
        for reason in reasons:  # who must have it stored asked for a build, and tells the reasons in its own way
            _logger.log(logging.INFO if must_store else logging.WARNING, "%s; an engine is built", reason)
        request, key = self._request, self.key
        if options is not None and request.least_batch is not None:
            # Whoever built it chose these options: a new TensorRT shall not bring back the defaults.
            key = replace(key, options=replace(options, targets=request.options.targets))
        built = build_engine(request.flavour, self._graph(), key.options, settings=self._settings())
        for note in built.notes:
            _logger.info("%s", note)
        facts = BuildFacts(built.seconds, utc_now(), __version__, tuple(built.fallback))
        try:
            engine = self.store.save(key, built.plan, facts)
        except OutputError as error:
            if must_store:
                raise
            _logger.warning("the engine is built again the next time, because it cannot be stored: %s", error)
            return Obtained(built.plan, None, built, reasons)
        return Obtained(built.plan, engine, built, reasons)

    def _graph(self) -> bytes:
        """Read the graph; it may have changed since the bundle was opened, and the key is of that one."""
        try:
            graph = self._bundle.graph_path.read_bytes()
        except OSError as error:
            raise BundleError(f"graph {str(self._bundle.graph_path)!r}: cannot be read: {error.strerror}") from error
        sha256 = hashlib.sha256(graph).hexdigest()
        if sha256 != self._bundle.graph_sha256:
            raise BundleError(
                f"graph {str(self._bundle.graph_path)!r}: got sha256 {sha256}, expected {self._bundle.graph_sha256}: "
                "it was altered since the bundle was opened; start again"
            )
        return graph

    def _settings(self) -> BuildSettings:
        settings, places, flavour = self._request.settings, self._request.places, self._request.flavour
        if self._device is None:
            return settings
        if self._device.ordinal != 0:
            settings = replace(settings, device_context=partial(_device_current, self._device))
        if settings.timing_cache is None and places.scratch is not None and flavour.has_timing_cache:
            settings = replace(settings, timing_cache=timing_cache_path(places.scratch, flavour, self._device.name))
        return settings


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

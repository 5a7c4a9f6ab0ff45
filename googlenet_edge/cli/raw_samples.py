"""Where ``run`` and ``bench`` keep raw samples while they measure: beside the report, until the samples are written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.errors import OutputError
from googlenet_edge.latency.report import RunFacts, raw_path, report_document
from googlenet_edge.latency.sample_file import set_aside
from googlenet_edge.latency.stages import capture_definition
from googlenet_edge.latency.summary import NOTHING_MEASURED
from googlenet_edge.latency.trace_store import RunAbout, TraceStore

if TYPE_CHECKING:
    from pathlib import Path

    from googlenet_edge.capture.source import Source
    from googlenet_edge.cli.run_settings import RunSettings
    from googlenet_edge.latency.summary import WarmUp
    from googlenet_edge.latency.watch.run import RunWatch
    from googlenet_edge.scenarios.rig import Rig

__all__ = ["RawSamples", "run_about"]

_log = logging.getLogger(__name__)
_NOT_KNOWN = "not known: the run did not live to say"


class RawSamples:
    """The files of one run; a context manager that closes them. Without ``report``, there are none.

    With ``tolerant``, a file that cannot be written is a warning, and the run does without it.
    """

    def __init__(self, report: Path | None, *, tolerant: bool) -> None:
        self._report, self._tolerant = report, tolerant
        self._files: list[TraceStore] = []

    def open(self, about: RunAbout, name: str | None = None) -> TraceStore | None:
        """Begin the file of a camera, or of another part of the run. Raises :class:`OutputError`."""
        if self._report is None:
            return None
        path = raw_path(self._report, name)
        try:
            aside = set_aside(path)
            if aside is not None:
                _log.warning("an earlier run did not end; `googlenet-edge report %s` shows what it measured", aside)
            file = TraceStore(path, about, tolerant=self._tolerant)
        except OutputError as error:
            if not self._tolerant:
                raise
            _log.warning("%s; the run begins nevertheless", error)
            return None
        self._files.append(file)
        return file

    def keeping(self, rig: Rig, begun: Mapping[str, object]) -> Rig:
        """Return the rig with a file for each thing that it measures; ``begun``: the report before that."""

        def open_samples(warmup: WarmUp, part: str | None) -> TraceStore | None:
            return self.open(RunAbout(begun, warmup=warmup), part)

        return replace(rig, open_samples=open_samples)

    def close(self) -> None:
        """Write the rest, and close the files. Those stay in which there is anything."""
        for file in self._files:
            try:
                file.close()
            except OutputError as error:
                _log.warning("%s", error)
            if not file.kept:
                file.discard()

    def discard(self) -> None:
        """Remove the files: the samples have been written."""
        for file in self._files:
            file.discard()

    def __enter__(self) -> RawSamples:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        for file in self._files:
            if file.kept and not file.discarded:
                _log.warning("what was measured is in %s; `googlenet-edge report` shows it", file.path)


def run_about(
    sources: Mapping[str | None, Source], classifier: Mapping[str, str], settings: RunSettings, watch: RunWatch
) -> RunAbout:
    """Return what is known of ``run`` before its first frame; ``sources`` are by the cameras' names."""
    from googlenet_edge.cli.run_settings import settings_facts

    cameras = [
        {
            "name": name,
            "description": source.description,
            "live": source.live,
            "captured": capture_definition(live=source.live, stamp_source=None),
        }
        for name, source in sources.items()
    ]
    facts = RunFacts(
        machine=watch.machine,
        source={
            "description": "; ".join(
                source.description if name is None else f"{name} = {source.description}"
                for name, source in sources.items()
            ),
            "live": any(source.live for source in sources.values()),
            "dropped": 0,
            "skipped": 0,
        },
        captured="; ".join(dict.fromkeys(str(camera["captured"]) for camera in cameras)),
        classifier=classifier,
        accuracy={"unavailable": _NOT_KNOWN},
        run=settings_facts(settings),
        watched=watch.begun(),
    )
    return RunAbout(report_document(NOTHING_MEASURED, facts), tuple(cameras))

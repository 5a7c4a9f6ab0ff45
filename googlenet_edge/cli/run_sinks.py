"""Where the results of a run go: checked before the run, opened for it, and told about in the report."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from googlenet_edge.atomic import check_writable
from googlenet_edge.capture.kinds import IMAGE_SUFFIXES
from googlenet_edge.cli.arguments import check_outside
from googlenet_edge.cli.journal import is_journal
from googlenet_edge.cli.run_sources import NamedSource, exists
from googlenet_edge.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.capture.source import Source
    from googlenet_edge.sinks.label_events import EventConfig
    from googlenet_edge.sinks.overlay import Annotator
    from googlenet_edge.sinks.sink import Sink, TruthLabels
    from googlenet_edge.sinks.tolerant import TolerantSink

__all__ = ["RunSinks", "check_outputs", "text_stream"]

_log = logging.getLogger(__name__)
_STANDARD_OUTPUT = "-"
_DEFAULT_VIDEO_FPS = 30.0
_PATIENCE_S = 1.0
"""With --on-output-error drop: how long a program that reads too slowly is waited for."""


def text_stream(arguments: argparse.Namespace) -> TextIO:
    """Return where text for people goes: standard error where standard output carries JSON lines."""
    return sys.stderr if _STANDARD_OUTPUT in (arguments.jsonl, arguments.events) else sys.stdout


def check_outputs(arguments: argparse.Namespace, sources: Sequence[NamedSource]) -> None:
    """Find out before the run what would fail after it: an hour's measurements must not be lost to a typing error."""
    _check_combinations(arguments)
    outputs = _outputs(arguments, sources)
    for option, path in (*outputs, ("--cache", arguments.cache)):
        check_outside(arguments.bundle, {option: path})
    read = {os.path.realpath(source.uri): "the source" for source in sources if exists(Path(source.uri))}
    read |= {os.path.realpath(source.listed_in): "what names the sources" for source in sources if source.listed_in}
    seen: dict[str, str] = {}
    for option, path in outputs:
        place = os.path.realpath(path)  # resolve() raises for a loop of links
        if place in seen:
            raise UsageError(f"{option}: got {path}, which is also {seen[place]}; expected another name")
        seen[place] = option
        if place in read:
            raise UsageError(f"{option}: got {path}, which is {read[place]}; expected another name")
        if path.suffix.lower() in IMAGE_SUFFIXES and exists(path):
            raise UsageError(f"{option}: got {path}, which is a picture; expected another name")
        if option not in ("--jsonl", "--events"):  # those are opened before the first frame; may be pipes or devices
            _check_writable(option, path, tolerant=arguments.on_output_error == "drop")


def _check_combinations(arguments: argparse.Namespace) -> None:
    if arguments.samples and arguments.report is None:
        raise UsageError("--samples: got no --report FILE, expected one; the samples are written beside it")
    if arguments.append and arguments.jsonl is None and arguments.events is None:
        raise UsageError("--append: got neither --jsonl nor --events, expected a file to add to")
    given = list(_event_options(arguments))
    if given and arguments.events is None:
        option = given[0].removesuffix("_probability").replace("_", "-")
        raise UsageError(f"--{option}: got no --events FILE, expected one, in which labels appear and leave")
    if arguments.events is not None:
        _event_config(arguments)
        if arguments.events == arguments.jsonl == _STANDARD_OUTPUT:
            raise UsageError("--events: got -, which is also --jsonl; expected a file for one of them")


def _outputs(arguments: argparse.Namespace, sources: Sequence[NamedSource]) -> list[tuple[str, Path]]:
    """Return the files that will be written, by the options that ask for them."""
    names = [source.name for source in sources if source.name is not None]
    outputs: list[tuple[str, Path]] = []
    if arguments.video is not None:
        outputs += [("--video", path) for path in _video_paths(arguments.video, names)]
    if arguments.report is not None:
        outputs.append(("--report", arguments.report))
    for option, name in (("--jsonl", arguments.jsonl), ("--events", arguments.events)):
        if name not in (None, _STANDARD_OUTPUT):
            outputs.append((option, Path(name)))
    if arguments.samples:
        from googlenet_edge.latency.report import raw_path, samples_path

        for source in sources:
            outputs += [("--samples", path(arguments.report, source.name)) for path in (samples_path, raw_path)]
    return outputs


def _video_paths(path: Path, names: Sequence[str]) -> list[Path]:
    if not names:
        return [path]
    from googlenet_edge.sinks.video import camera_path

    return [camera_path(path, name) for name in names]


def _check_writable(option: str, path: Path, *, tolerant: bool) -> None:
    try:
        check_writable(path, what=option)
    except OutputError as error:
        if not tolerant or not path.parent.is_dir() or path.is_dir():
            raise
        _log.warning("%s; the run begins nevertheless", error)  # a disk that is full now may have room later


def _event_options(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("appear_probability", "leave_probability", "appear_ms", "leave_ms", "gap_ms")
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _event_config(arguments: argparse.Namespace) -> EventConfig:
    """Return when labels appear and leave. Raises :class:`UsageError` where the options do not fit together."""
    from googlenet_edge.sinks.label_events import EventConfig

    try:
        config = EventConfig(**_event_options(arguments))
        config.check_top_k(arguments.top_k)
    except InputError as error:
        raise UsageError(f"--events: {error}") from error
    return config


class RunSinks:
    """The sinks that were asked for; a context manager that closes them, and raises what that raises."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        bundle: Bundle,
        sources: Mapping[str | None, Source],
        stop: threading.Event,
    ) -> None:
        """``sources`` are by the cameras' names; ``stop`` is set by the window's q.

        Opens the sinks; raises :class:`OutputError`.
        """
        self._arguments, self._bundle, self._sources, self._stop = arguments, bundle, sources, stop
        self._drop = arguments.on_output_error == "drop"
        self._tolerant: list[TolerantSink] = []
        self.sinks: list[Sink] = []
        with ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()

    def facts(self) -> list[dict[str, object]]:
        """Return what each sink that goes on after a failure had to drop, as JSON values."""
        return [
            {
                "sink": sink.name,
                "dropped": sink.dropped,
                "failures": sink.failures,
                "last_error": sink.last_error,
            }
            for sink in self._tolerant
        ]

    def reopen(self) -> None:
        """Have the files that are added to opened anew: they were moved away."""
        for sink in self.sinks:
            sink.reopen()

    def __enter__(self) -> RunSinks:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]  # as it was called

    def _open(self, stack: ExitStack) -> None:
        arguments = self._arguments
        wanted: list[tuple[str, Callable[[], Sink]]] = []
        if arguments.video is not None:
            wanted.append(("video", self._video))
        if arguments.window:
            wanted.append(("window", self._window))
        if arguments.jsonl is not None:
            wanted.append(("jsonl", self._json_lines))
        if arguments.events is not None:
            wanted.append(("events", self._events))
        if not arguments.quiet and not is_journal(text_stream(arguments), os.environ):
            wanted.append(("terminal", self._terminal))
        for name, open_sink in wanted:
            # A window that cannot be opened is a mistake, and looking for a display again would hold up the run.
            sink = self._tolerating(name, open_sink) if self._drop and name != "window" else open_sink()
            self.sinks.append(stack.enter_context(sink))

    def _tolerating(self, name: str, open_sink: Callable[[], Sink]) -> Sink:
        from googlenet_edge.sinks.tolerant import TolerantSink

        sink = TolerantSink(open_sink, name)
        self._tolerant.append(sink)
        return sink

    def _truth_labels(self) -> TruthLabels:
        if len(self._sources) == 1:
            return next(iter(self._sources.values())).labels
        return {name: source.labels for name, source in self._sources.items() if name}

    def _annotator(self) -> Annotator:
        from googlenet_edge.sinks.overlay import Annotator

        return Annotator(crop=self._bundle.crop, region=self._arguments.region, truth_labels=self._truth_labels())

    def _video(self) -> Sink:
        from googlenet_edge.sinks.video import VideoOptions, VideoSink

        options = {
            name: VideoOptions(fps=getattr(source, "fps", None) or _DEFAULT_VIDEO_FPS, real_time=source.live)
            for name, source in self._sources.items()
        }
        return VideoSink(self._arguments.video, self._annotator(), options)

    def _window(self) -> Sink:
        from googlenet_edge.sinks.window import WindowSink

        return WindowSink(self._annotator(), self._stop)

    def _json_lines(self) -> Sink:
        from googlenet_edge.sinks.jsonl import JsonLinesSink

        return JsonLinesSink(
            self._arguments.jsonl,
            truth_labels=self._truth_labels(),
            append=self._arguments.append,
            patience_s=_PATIENCE_S if self._drop else None,
        )

    def _events(self) -> Sink:
        from googlenet_edge.sinks.events import EventsSink

        return EventsSink(
            self._arguments.events,
            _event_config(self._arguments),
            append=self._arguments.append,
            patience_s=_PATIENCE_S if self._drop else None,
        )

    def _terminal(self) -> Sink:
        from googlenet_edge.sinks.terminal import TerminalSink

        return TerminalSink(text_stream(self._arguments))

"""``googlenet-edge run``: label the frames of a source, with a latency report."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from googlenet_edge.atomic import check_writable
from googlenet_edge.cli.arguments import check_outside
from googlenet_edge.cli.run_arguments import configure
from googlenet_edge.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.capture.source import Source
    from googlenet_edge.sinks.label_events import EventConfig
    from googlenet_edge.sinks.sink import Sink
    from googlenet_edge.stream import StreamReport

__all__ = ["configure", "run"]

_STANDARD_OUTPUT = "-"
_DEFAULT_VIDEO_FPS = 30.0
_JOIN_S = 5.0


def run(arguments: argparse.Namespace) -> int:
    """Run until the source ends, a limit is reached or Ctrl-C; write the report, print the table and return 0."""
    _check_outputs(arguments)
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.capture.source import SourceOptions, open_source
    from googlenet_edge.cli.backend_arguments import open_from_arguments
    from googlenet_edge.cli.run_report import print_line, print_report, run_facts
    from googlenet_edge.latency.machine import machine_info
    from googlenet_edge.latency.report import samples_path, write_report, write_samples
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.stream import StreamConfig, run_stream

    machine = machine_info()  # before the run adds to the load
    config = StreamConfig(
        warmup_frames=arguments.warmup,
        max_frames=arguments.frames,
        max_duration_s=arguments.duration,
        top_k=arguments.top_k,
        region=arguments.region,
        every_frame=arguments.every_frame,
    )
    options = SourceOptions(
        open_timeout_ms=arguments.open_timeout,
        read_timeout_ms=arguments.read_timeout,
        size_px=arguments.size,
        fps=arguments.fps,
        every_frame=arguments.every_frame,
        loop=arguments.loop,
        fourcc=arguments.fourcc,
    )
    text = _text_stream(arguments)
    bundle = Bundle.open(arguments.bundle)
    backend = open_from_arguments(arguments, bundle)
    with Classifier(bundle, backend=backend.backend) as classifier, open_source(arguments.source, options) as source:
        if not arguments.quiet:
            print_line(backend.line, text)
        stop = threading.Event()
        report: StreamReport | None = None
        with _stop_on_signals(stop), _closed_when_stopped(source, stop):
            try:
                with ExitStack() as stack:
                    sinks = _open_sinks(arguments, bundle, source, stop, stack)
                    report = run_stream(source, classifier, sinks, config, stop=stop)
            except OutputError as error:  # a sink that cannot be opened or finished
                if report is None:
                    raise
                report = replace(report, error=report.error or error)
        described = classifier.describe()
    if arguments.report is not None:
        try:
            write_report(arguments.report, report.latency, run_facts(report, source, described, config, machine))
            if arguments.samples:
                write_samples(samples_path(arguments.report), report.samples)
        except OutputError as error:
            report = replace(report, error=report.error or error)
    if not arguments.quiet and (report.frames or report.error is None):
        try:
            print_report(report, source, machine, text)
        except OutputError as error:
            report = replace(report, error=report.error or error)
    if report.error is not None:
        raise report.error
    return 0


def _open_sinks(
    arguments: argparse.Namespace, bundle: Bundle, source: Source, stop: threading.Event, stack: ExitStack
) -> list[Sink]:
    """Open the sinks that were asked for; the stack closes them."""
    sinks: list[Sink] = []
    if arguments.video is not None or arguments.window:
        from googlenet_edge.sinks.overlay import Annotator

        def annotator() -> Annotator:
            return Annotator(crop=bundle.crop, region=arguments.region, truth_labels=source.labels)

        if arguments.video is not None:
            from googlenet_edge.sinks.video import VideoOptions, VideoSink

            fps = arguments.fps or getattr(source, "fps", None) or _DEFAULT_VIDEO_FPS
            video = VideoOptions(fps=fps, real_time=source.live)
            sinks.append(stack.enter_context(VideoSink(arguments.video, annotator(), video)))
        if arguments.window:
            from googlenet_edge.sinks.window import WindowSink

            sinks.append(stack.enter_context(WindowSink(annotator(), stop)))
    if arguments.jsonl is not None:
        from googlenet_edge.sinks.jsonl import JsonLinesSink

        sinks.append(stack.enter_context(JsonLinesSink(arguments.jsonl, truth_labels=source.labels)))
    if arguments.events is not None:
        from googlenet_edge.sinks.events import EventsSink

        sinks.append(stack.enter_context(EventsSink(arguments.events, _event_config(arguments))))
    if not arguments.quiet:
        from googlenet_edge.sinks.terminal import TerminalSink

        sinks.append(stack.enter_context(TerminalSink(_text_stream(arguments))))
    return sinks


def _text_stream(arguments: argparse.Namespace) -> TextIO:
    """Return where text for people goes: standard error where standard output carries JSON lines."""
    return sys.stderr if _STANDARD_OUTPUT in (arguments.jsonl, arguments.events) else sys.stdout


def _event_config(arguments: argparse.Namespace) -> EventConfig:
    """Return when labels appear and leave. Raises :class:`UsageError` where the options do not fit together."""
    from googlenet_edge.sinks.label_events import EventConfig

    try:
        config = EventConfig(
            appear_probability=arguments.appear,
            leave_probability=arguments.leave,
            appear_ms=arguments.appear_ms,
            leave_ms=arguments.leave_ms,
            gap_ms=arguments.gap_ms,
        )
        config.check_top_k(arguments.top_k)
    except InputError as error:
        raise UsageError(f"--events: {error}") from error
    return config


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Find out before the run what would fail after it: an hour's measurements must not be lost to a typing error."""
    if arguments.samples and arguments.report is None:
        raise UsageError("--samples: got no --report FILE, expected one; the samples are written beside it")
    if arguments.events is not None:
        _event_config(arguments)
        if arguments.events == arguments.jsonl == _STANDARD_OUTPUT:
            raise UsageError("--events: got -, which is also --jsonl; expected a file for one of them")
    outputs: dict[str, Path | None] = {"--video": arguments.video, "--report": arguments.report}
    lines = {"--jsonl": arguments.jsonl, "--events": arguments.events}
    outputs |= {option: Path(name) for option, name in lines.items() if name not in (None, _STANDARD_OUTPUT)}
    if arguments.samples:
        from googlenet_edge.latency.report import samples_path

        outputs["--samples"] = samples_path(arguments.report)
    check_outside(arguments.bundle, {**outputs, "--cache": arguments.cache})
    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = Path(os.path.realpath(path))  # resolve() raises for a loop of links
        if place in seen:
            raise UsageError(f"{option}: got {path}, which is also {seen[place]}; expected another name")
        seen[place] = option
        source = Path(arguments.source)
        if _exists(source) and place == Path(os.path.realpath(source)):
            raise UsageError(f"{option}: got {path}, which is the source; expected another name")
        if option not in lines:  # those are opened before the first frame, and may be pipes or devices
            check_writable(path, what=option)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a URI can be longer than any path, or hold a zero byte
        return False


@contextmanager
def _closed_when_stopped(source: Source, stop: threading.Event) -> Iterator[None]:
    """Close a live source as soon as ``stop`` is set: a frame that may never come must not hold up the end."""
    if not source.live:
        yield
        return

    def watch() -> None:
        stop.wait()
        source.close()

    watcher = threading.Thread(target=watch, name="close the source when stopped", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(_JOIN_S)


@contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) sets ``stop``; the second raises :class:`KeyboardInterrupt`."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        # Not print(): a signal may come while the stream is being written to, and buffers are not re-entrant.
        os.write(2, b"\nending after the present frame; Ctrl-C again ends at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup and shells' background jobs ignore it on purpose
            previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

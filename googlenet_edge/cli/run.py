"""``googlenet-edge run``: label the frames of one source or of several, with a latency report."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from googlenet_edge.cli.journal import is_journal, say, with_priority
from googlenet_edge.cli.machine_watch import Watched, end_watch, new_watch
from googlenet_edge.cli.notify import Notifier, ServiceEnvironment, take_environment
from googlenet_edge.cli.run_arguments import configure
from googlenet_edge.cli.run_opening import SourceSet
from googlenet_edge.cli.run_service import ServiceMonitor
from googlenet_edge.cli.run_signals import StopSignals
from googlenet_edge.cli.run_sinks import RunSinks, check_outputs, text_stream
from googlenet_edge.cli.run_sources import read_sources, whose
from googlenet_edge.errors import OutputError

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.capture.source import Source
    from googlenet_edge.cli.raw_samples import RawSamples
    from googlenet_edge.cli.run_settings import RunSettings
    from googlenet_edge.latency.watch.run import RunWatch
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.stream import Camera, StreamConfig, StreamReport

__all__ = ["configure", "run"]

_log = logging.getLogger(__name__)
_STOPPING = "ending after the present frame; Ctrl-C again ends at once"
_TERMINATING = (signal.SIGTERM, signal.SIGHUP)


def run(arguments: argparse.Namespace) -> int:
    """Run until the sources end, a limit is reached or Ctrl-C; write the report, print the table and return 0.

    Returns 143 where SIGTERM came before the first frame, or a second time; 129 for SIGHUP: what a shell would say of a
    program that the signal ended.
    """
    message = with_priority(_STOPPING, logging.INFO) if is_journal(sys.stderr, os.environ) else f"\n{_STOPPING}"
    service = take_environment(os.environ)
    # With --append, SIGHUP comes from log rotation, which has moved the files away; else a terminal was closed.
    wanted = StopSignals(first_message=f"{message}\n".encode(), hangup_reopens=arguments.append)
    with wanted as signals, Notifier(service.address) as notifier:
        try:
            return _Run(arguments, signals, notifier, service).run()
        except BaseException:
            if signals.interrupted_by not in _TERMINATING:
                raise
            # Whatever it became on its way: a package that is interrupted while it is imported raises ImportError.
            say("terminated", logging.WARNING)
            return 128 + signals.interrupted_by


class _Run:
    """One run: what is opened, in which order, and what is said at the end."""

    _raw: RawSamples

    def __init__(
        self, arguments: argparse.Namespace, signals: StopSignals, notifier: Notifier, service: ServiceEnvironment
    ) -> None:
        self._arguments, self._signals, self._notifier, self._service = arguments, signals, notifier, service
        self._wanted = read_sources(arguments.sources)
        self._text = text_stream(arguments)

    def run(self) -> int:
        """Open all, run, close all, report."""
        arguments = self._arguments
        check_outputs(arguments, self._wanted)
        from googlenet_edge.bundle import Bundle
        from googlenet_edge.cli.backend_arguments import open_from_arguments
        from googlenet_edge.cli.raw_samples import RawSamples
        from googlenet_edge.cli.run_settings import read_settings
        from googlenet_edge.runtime.classifier import Classifier

        settings = read_settings(arguments)
        report_file = arguments.report if arguments.samples else None
        with ExitStack() as stack:
            self._raw = stack.enter_context(RawSamples(report_file, tolerant=arguments.on_output_error == "drop"))
            source_set = stack.enter_context(SourceSet(self._wanted, settings.options))
            source_set.open_files()
            bundle = Bundle.open(arguments.bundle)
            watch = stack.enter_context(self._new_watch())  # looks now, before the run adds to load and heat
            self._notifier.status("opening what computes; the first time, an engine may be built")
            at_once = _at_once(arguments, patient=source_set.patient)
            backend = open_from_arguments(arguments, bundle, cameras=len(self._wanted), at_once=at_once)
            classifier = stack.enter_context(Classifier(bundle, backend=backend.backend))
            if not arguments.quiet:
                self._print_start([backend.line, *source_set.notes])
            self._notifier.status("opening the sources")
            sources = source_set.open_rest()
            with self._signals.in_good_order():
                cameras = self._cameras(sources, classifier.describe(), settings, watch)
                report, sinks = self._label(bundle, classifier, cameras, settings.config, watch)
                self._raw.close()
                watched = end_watch(watch, report.latency)
                report = self._tell(report, sources, classifier.describe(), sinks, settings, watched)
        if report.error is not None:
            failed = next((camera.name for camera in report.cameras if camera.error is report.error), None)
            raise whose(report.error, failed)
        return 0

    def _cameras(
        self, sources: Sequence[Source], classifier: Mapping[str, str], settings: RunSettings, watch: RunWatch
    ) -> list[Camera]:
        """Return the cameras, each with a file for its raw samples if they are wanted."""
        from googlenet_edge.cli.raw_samples import run_about
        from googlenet_edge.stream import Camera

        named = {wanted.name: source for wanted, source in zip(self._wanted, sources, strict=True)}
        about = run_about(named, classifier, settings, watch)
        return [
            Camera(name, source, self._raw.open(replace(about, camera=name), name)) for name, source in named.items()
        ]

    def _new_watch(self) -> RunWatch:
        if self._arguments.idle_power is not None:
            text = f"measuring the idle machine's power for {self._arguments.idle_power:g} s"
            self._notifier.status(text)
            if not self._arguments.quiet:
                self._print_start([text])
        return new_watch(self._arguments)

    def _print_start(self, lines: Sequence[str]) -> None:
        from googlenet_edge.cli.run_report import print_line

        try:
            print_line("\n".join(lines), self._text)
        except OutputError as error:
            if self._arguments.on_output_error == "stop":
                raise
            _log.warning("%s; the run begins nevertheless", error)

    def _label(
        self,
        bundle: Bundle,
        classifier: Classifier,
        cameras: Sequence[Camera],
        config: StreamConfig,
        watch: RunWatch,
    ) -> tuple[StreamReport, list[dict[str, object]]]:
        """Run the loop and close the sinks; return its report, and what is to be said of the sinks."""
        from googlenet_edge.stream import run_streams

        stop = self._signals.stop
        sources = {camera.name: camera.source for camera in cameras}
        report: StreamReport | None = None
        opened: RunSinks | None = None
        try:
            with RunSinks(self._arguments, bundle, sources, stop) as opened:
                monitor = ServiceMonitor(
                    self._notifier, watchdog_s=self._service.watchdog_s, every_tick=partial(self._look_at_files, opened)
                )
                watch.start()
                report = run_streams(cameras, classifier, opened.sinks, config, stop=stop, monitor=monitor)
                watch.end()  # before the sinks are finished, which is no part of the run
                self._notifier.stopping()
        except OutputError as error:  # a sink that cannot be opened or finished
            if report is None:
                raise
            report = replace(report, error=report.error or error)
        return report, [] if opened is None else opened.facts()

    def _look_at_files(self, opened: RunSinks) -> None:
        if self._signals.reopen.is_set():
            self._signals.reopen.clear()
            opened.reopen()

    def _tell(
        self,
        report: StreamReport,
        sources: Sequence[Source],
        classifier: Mapping[str, str],
        sinks: Sequence[Mapping[str, object]],
        settings: RunSettings,
        watched: Watched,
    ) -> StreamReport:
        """Write the report and print the table; what fails then becomes the report's error, if it has none."""
        from googlenet_edge.cli.run_report import camera_figures, print_report, run_facts
        from googlenet_edge.latency.report import samples_path, write_report, write_samples

        arguments = self._arguments
        cameras = camera_figures(report, sources)
        try:
            if arguments.report is not None:
                facts = run_facts(report, cameras, classifier, settings, watched, sinks)
                write_report(arguments.report, report.latency, facts)
            if arguments.samples:
                for camera in report.cameras:
                    write_samples(samples_path(arguments.report, camera.name), camera.samples)
                self._raw.discard()
        except OutputError as error:
            report = replace(report, error=report.error or error)
        if not arguments.quiet and (report.frames or report.error is None):
            try:
                print_report(report, cameras, watched.lines, sinks, self._text)
            except OutputError as error:
                report = replace(report, error=report.error or error)
        return report


def _at_once(arguments: argparse.Namespace, *, patient: bool) -> int:
    """Return how many frames ONNX Runtime computes at once: of files, more a second; of cameras, each one sooner."""
    from googlenet_edge.runtime.ort_config import usable_cores

    if arguments.at_once is not None:
        return int(arguments.at_once)
    free = arguments.threads is None and not arguments.newest_frame and usable_cores() > 1
    return 2 if patient and free else 1

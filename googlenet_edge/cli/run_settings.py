"""How ``googlenet-edge run`` was configured: from its arguments, and for its report."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from googlenet_edge import __version__
from googlenet_edge.capture.reconnect import Reconnect
from googlenet_edge.capture.source import SourceOptions
from googlenet_edge.stream import StreamConfig

__all__ = ["RunSettings", "read_settings", "settings_facts"]


@dataclass(frozen=True)
class RunSettings:
    """How a run was made, for its report."""

    config: StreamConfig
    options: SourceOptions
    on_output_error: str


def read_settings(arguments: argparse.Namespace) -> RunSettings:
    """Return what the arguments say. Raises :class:`InputError` for what cannot be."""
    return RunSettings(
        config=_stream_config(arguments),
        options=_source_options(arguments),
        on_output_error=arguments.on_output_error,
    )


def settings_facts(settings: RunSettings) -> dict[str, object]:
    """Return what a report says under ``run`` of how the run was configured, known before it begins."""
    config, reconnect = settings.config, settings.options.reconnect
    region = config.region
    return {
        "version": __version__,
        "warmup_frames": config.warmup_frames,
        "max_frames": config.max_frames,
        "max_duration_s": config.max_duration_s,
        "top_k": config.top_k,
        "region_px": None if region is None else [region.x_px, region.y_px, region.width_px, region.height_px],
        "delivery": config.delivery,
        "max_batch": config.max_batch,
        "batch_wait_ms": config.batch_wait_ms,
        "smoothing_ms": config.smoothing_ms,
        "min_probability": config.min_probability,
        "reconnect_attempts": "forever" if reconnect.attempts is None else reconnect.attempts,
        "on_output_error": settings.on_output_error,
    }


def _stream_config(arguments: argparse.Namespace) -> StreamConfig:
    return StreamConfig(
        warmup_frames=arguments.warmup,
        max_frames=arguments.frames,
        max_duration_s=arguments.duration,
        top_k=arguments.top_k,
        region=arguments.region,
        delivery="every" if arguments.every_frame else "newest" if arguments.newest_frame else "auto",
        max_batch=arguments.max_batch,
        batch_wait_ms=arguments.batch_wait,
        smoothing_ms=arguments.smoothing,
        min_probability=arguments.min_probability,
    )


def _source_options(arguments: argparse.Namespace) -> SourceOptions:
    return SourceOptions(
        open_timeout_ms=arguments.open_timeout,
        read_timeout_ms=arguments.read_timeout,
        size_px=arguments.size,
        fps=arguments.fps,
        every_frame=arguments.every_frame,
        loop=arguments.loop,
        fourcc=arguments.fourcc,
        buffers=arguments.buffers,
        transport=arguments.transport,
        latency_ms=arguments.latency,
        reconnect=Reconnect(attempts=arguments.reconnect),
    )

"""Frame sources: one URI in, stamped BGR frames out. See :func:`googlenet_edge.capture.source.open_source`."""

from __future__ import annotations

from googlenet_edge.capture.options import SourceOptions
from googlenet_edge.capture.redact import redact
from googlenet_edge.capture.source import Source, open_source

__all__ = ["Source", "SourceOptions", "open_source", "redact"]

"""Frame sources: one URI in, stamped BGR frames out. See :func:`googlenet_edge.capture.source.open_source`.

The names are imported when they are first used, so that the process that reads a network stream starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from googlenet_edge.capture.redact import redact  # at once: later, the name would be that of the module

if TYPE_CHECKING:
    from googlenet_edge.capture.options import SourceOptions
    from googlenet_edge.capture.reconnect import Reconnect
    from googlenet_edge.capture.source import Source, open_source

__all__ = ["Reconnect", "Source", "SourceOptions", "open_source", "redact"]

_HOME = {"Reconnect": "reconnect", "Source": "source", "SourceOptions": "options", "open_source": "source"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

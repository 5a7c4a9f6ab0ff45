"""The JSON Schema of ``report.json``: draft 2020-12, published as ``report_schema.json`` beside this module."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["derived_schema", "report_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report_schema() -> str:
    """Return the published schema as JSON text."""
    return files("googlenet_edge.latency").joinpath("report_schema.json").read_text(encoding="utf-8")


def derived_schema() -> dict[str, Any]:
    """Return the schema as it follows from :mod:`~googlenet_edge.latency.report_format`: what is to be published."""
    import msgspec

    from googlenet_edge.latency.machine import MachineInfo
    from googlenet_edge.latency.report_format import ReportDocument
    from googlenet_edge.latency.watch.state import MachineState

    document = {
        "$schema": _DIALECT,
        "title": "Latency report of googlenet_edge, schema version 1",
        **msgspec.json.schema(ReportDocument),
    }
    # The reader takes these as they are, so that one odd value of a machine makes no report unreadable.
    _, machines = msgspec.json.schema_components([MachineInfo, MachineState], ref_template="#/$defs/{name}")
    document["$defs"] = {**document["$defs"], **machines}
    plain: dict[str, Any] = json.loads(json.dumps(document))  # defaults may be tuples
    return plain

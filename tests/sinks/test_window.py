from __future__ import annotations

import threading

import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.window import WindowSink


@pytest.mark.parametrize("display", [None, ":4711"])
def test_without_a_display_there_is_one_clear_message(display: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if display is not None:
        monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(OutputError, match="use --video FILE instead") as caught:
        WindowSink(Annotator(), threading.Event())
    assert "\n" not in str(caught.value)

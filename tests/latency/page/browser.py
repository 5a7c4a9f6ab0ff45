"""Headless Chromium for tests: opens a page, and keeps what the page complained about and asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# The value of a point on an axis, from where two of its ticks are drawn: independent of how the page placed them.
VALUE_AT = """
(svg, pixel) => {
  const lines = [...svg.querySelectorAll("line.grid")].map(line => line.getBoundingClientRect().y);
  const values = [...svg.querySelectorAll("text.y")].map(text => parseFloat(text.dataset.value));
  const last = lines.length - 1;
  return values[0] + (pixel - lines[0]) / (lines[last] - lines[0]) * (values[last] - values[0]);
}
"""


@dataclass
class Opened:
    """A page, and what it did."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def value(self, script: str) -> Any:
        """Evaluate JavaScript in which ``valueAt(svg, pixel)`` and ``middle(element)`` are known."""
        helpers = (
            f"const valueAt = {VALUE_AT}; const middle = element => "
            "{ const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; };"
        )
        return self.page.evaluate(f"() => {{ {helpers} return ({script})(); }}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium here: install Debian's package chromium")
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox refuses to run as root, which is what tests in containers run as.
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Open a page; further arguments are those of a browser's context."""
    with contextlib.ExitStack() as stack:

        def open_page(path: Path, **settings: Any) -> Opened:
            context = stack.enter_context(contextlib.closing(browser.new_context(**settings)))
            opened = Opened(context.new_page())
            opened.page.on("console", lambda message: opened.messages.append(message.text))
            opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
            opened.page.on("request", lambda request: opened.requests.append(request.url))
            opened.page.goto(path.as_uri())
            return opened

        yield open_page

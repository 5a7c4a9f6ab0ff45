"""A browser for the tests of the page."""

from __future__ import annotations

from tests.latency.page.browser import browser, show

__all__ = ["browser", "show"]

"""The report as one HTML page that needs nothing else: no network, no server, and no script to be read.

``render_page`` puts the page together from its parts; each part is a module of its own, which says None where the
report has nothing for it. Pictures are SVG that is made here; ``page.js`` adds what follows the pointer and the switch
between light and dark. The page's Content-Security-Policy allows that one script, by its hash, and no request at all.
"""

from __future__ import annotations

__all__ = ["render_page", "write_page"]

from googlenet_edge.latency.page.render import render_page, write_page

"""Takes passwords and tokens out of the addresses that logs, reports and error messages show."""

from __future__ import annotations

import re

__all__ = ["redact"]

HIDDEN = "***"

# Anything named like a secret, wherever in the address it stands: many cameras take it in the query
# (?usr=..&pwd=..), some in the path (/user=admin&password=..&channel=1).
_SECRET = re.compile(
    r"([\w.\-]*(?:pass|pwd|pw|token|secret|key|auth|sig|credential|session|jwt|sid)[\w.\-]*)(=|%3d)[^&;#\s]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"^[a-z][a-z0-9+.\-]*(:/{1,2}|//)", re.IGNORECASE)


def redact(uri: str) -> str:
    """Return the URI with its user name and password, and the value of every parameter named like a secret, as ``***``.

    Everything between the scheme and the *last* ``@`` is hidden, because passwords with unescaped ``@``, ``/`` or ``?``
    are common. So an address that has an ``@`` for another reason loses more than it must: better that than a leak.
    """
    scheme = _SCHEME.match(uri)
    start = scheme.end() if scheme else 0
    last_at = uri.rfind("@")
    # Without a scheme it may be a file name, where an @ alone says nothing; "name:word@" still looks like a login.
    if last_at >= start and (scheme or ":" in uri[:last_at]):
        uri = f"{uri[:start]}{HIDDEN}{uri[last_at:]}"
    return _SECRET.sub(rf"\1\2{HIDDEN}", uri)

"""What is left out after a picture that came damaged."""

from __future__ import annotations

import av

__all__ = ["Damage"]

LONGEST_S = 2.0
"""How long at most; a camera whose key pictures are further apart would be gone for too long."""


class Damage:
    """Most pictures say only how they differ from those before: a damaged one spoils all up to the next key picture."""

    def __init__(self, *, read_timeout_s: float) -> None:
        # Half of it: pictures must come before the camera counts as lost.
        self._longest_ns = round(min(LONGEST_S, read_timeout_s / 2) * 1e9)
        self._since_ns: int | None = None

    def happened(self, now_ns: int) -> None:
        """Note that something could not be decoded."""
        if self._since_ns is None:
            self._since_ns = now_ns

    def spoils(self, frame: av.VideoFrame, now_ns: int) -> bool:
        """Whether this picture is damaged too."""
        if frame.is_corrupt:
            self.happened(now_ns)
            return True
        if self._since_ns is not None and (frame.key_frame or now_ns - self._since_ns > self._longest_ns):
            self._since_ns = None
        return self._since_ns is not None

"""The life of the process that reads a stream: its threads, its end, and what it says when it cannot go on."""

from __future__ import annotations

import os
import select
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from googlenet_edge.capture.diagnose import explain_failure

if TYPE_CHECKING:
    from googlenet_edge.capture.reader.outlet import Outlet

__all__ = ["LostError", "NoVideoError", "Settings", "run"]

ORPHAN_LOOK_S = 1.0
"""How often it looks whether its parent is still there: standard input may be held open by another child."""
LINGER_S = 0.3
"""How long it may take to say good-bye to an RTSP camera, which frees one of its few sessions."""


class LostError(Exception):
    """The stream broke off; the text says how, without the address."""


class NoVideoError(ValueError):
    """There is something, but no video; the text is without the address."""


@dataclass(frozen=True)
class Settings:
    """How one stream is read."""

    uri: str
    open_timeout_s: float
    read_timeout_s: float
    every_frame: bool
    transport: str
    latency_ms: int

    @property
    def patience_s(self) -> float:
        """How long the libraries wait for whatever comes next, the server's first answer and picture included.

        They know no other limit for those than for all later ones. The parent's come first: it counts the open timeout
        to the first picture, and the read timeout from picture to picture, and ends this process.
        """
        return max(self.open_timeout_s, self.read_timeout_s) + 1.0


def run(settings: Settings, *, frames_fd: int) -> None:
    """Read the stream until its end, or until standard input ends. Does not return."""
    parent = os.getppid()
    try:
        import av

        from googlenet_edge.capture.reader.outlet import Outlet
    except ImportError as error:
        from googlenet_edge.capture.reader.wire import message_packet

        os.write(frames_fd, message_packet("failed", reason=f"PyAV cannot be imported: {error}"))
        os._exit(1)
    av.logging.set_level(None)  # its messages contain the address
    linger_s = LINGER_S if settings.uri.lower().startswith("rtsp") else 0.0
    outlet = Outlet(frames_fd, every_frame=settings.every_frame)
    threading.Thread(target=_obey, args=(outlet, parent, linger_s), daemon=True).start()
    threading.Thread(target=_send, args=(outlet,), daemon=True).start()
    event, reason = _read(settings, outlet)
    outlet.finish(event, reason=reason)
    os._exit(0)


def _read(settings: Settings, outlet: Outlet) -> tuple[str, str]:
    """Read to the end; return what to say last."""
    import av

    from googlenet_edge.capture.reader.streams import read_stream

    outlet.say("started")
    started = time.monotonic()
    try:
        read_stream(settings, outlet)
    except LostError as error:
        return "lost", str(error)
    except (OSError, av.FFmpegError, ValueError) as error:
        timed_out = isinstance(error, TimeoutError) or time.monotonic() - started >= settings.open_timeout_s
        outlet.say("explaining")
        timed_out_ms = round(settings.open_timeout_s * 1000) if timed_out else None
        # Without the address, which other texts of theirs may contain.
        found = str(error) if isinstance(error, NoVideoError) else getattr(error, "strerror", None)
        return "failed", explain_failure(settings.uri, timed_out_ms=timed_out_ms, found=found or type(error).__name__)
    except BaseException as error:  # noqa: BLE001 - the parent tells it; its text may contain the address
        return "failed", f"the reading process failed ({type(error).__name__})"
    return "ended", ""


def _obey(outlet: Outlet, parent: int, linger_s: float) -> None:
    """Take what comes over standard input: a byte for each picture that is wanted, and its end."""
    while os.getppid() == parent:
        if select.select([0], [], [], ORPHAN_LOOK_S)[0]:
            asked = os.read(0, 64)
            if not asked:
                break
            outlet.ask(len(asked))
    outlet.close()
    time.sleep(linger_s)  # the main thread closes the connection meanwhile, and ends
    os._exit(0)


def _send(outlet: Outlet) -> None:
    try:
        outlet.send_all()
    except BrokenPipeError:
        os._exit(0)
    except BaseException:  # noqa: BLE001 - no picture can be sent any more
        os._exit(3)

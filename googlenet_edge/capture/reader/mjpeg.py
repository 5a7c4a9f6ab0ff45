"""MJPEG over HTTP, by the standard library: it tells more than FFmpeg, and forgives cameras more."""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import av

from googlenet_edge.capture.reader.jpegs import JpegSplitter
from googlenet_edge.capture.reader.run import LostError, NoVideoError

if TYPE_CHECKING:
    from googlenet_edge.capture.reader.outlet import Outlet

__all__ = ["HttpResponse", "open_http", "read_mjpeg"]

CHUNK_BYTES = 1 << 16
_MJPEG_TYPES = ("multipart/", "video/x-motion-jpeg", "video/x-mjpeg", "video/mjpeg", "image/mjpeg")


class HttpResponse:
    """What a web server answered, with its body still to come."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        kind = (response.headers.get("Content-Type") or "").strip().lower()
        self.length = response.length if not response.chunked else None
        self.is_mjpeg = kind.startswith(_MJPEG_TYPES) or (kind.startswith("image/jpeg") and self.length is None)
        if not kind:  # nothing is said: see what it looks like
            start = response.peek(CHUNK_BYTES)
            self.is_mjpeg = start.lstrip().startswith((b"--", b"\xff\xd8\xff"))
        if kind.startswith(("text/html", "image/jpeg")) and not self.is_mjpeg:
            raise ValueError(f"got {kind}, expected a stream")

    def set_timeout(self, timeout_s: float) -> None:
        """Limit each wait for bytes."""
        reader = self._response.fp
        raw = getattr(reader, "raw", None)
        connection = getattr(raw, "_sock", None)
        if connection is not None:
            connection.settimeout(timeout_s)

    def read(self) -> bytes:
        """Return the bytes that come next, at least one; none at the end."""
        return self._response.read1(CHUNK_BYTES)

    def close(self) -> None:
        """Close the connection."""
        self._response.close()


def open_http(uri: str, *, timeout_s: float) -> HttpResponse:
    """Ask for a page, with Basic or Digest login where the server wants one. Raises OSError and ValueError."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    address = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
    context = ssl.create_default_context()
    # Cameras have certificates of their own making: see NetworkGrabber.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=context),
    ]
    if parts.username is not None:
        logins = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        logins.add_password(None, address, unquote(parts.username), unquote(parts.password or ""))
        handlers += [urllib.request.HTTPDigestAuthHandler(logins), urllib.request.HTTPBasicAuthHandler(logins)]
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(address, headers={"User-Agent": "googlenet-edge", "Accept": "*/*"})  # noqa: S310
    try:
        response = opener.open(request, timeout=timeout_s)
    except http.client.HTTPException as error:
        raise ValueError(f"no HTTP ({type(error).__name__})") from None
    return HttpResponse(response)


def read_mjpeg(response: HttpResponse, outlet: Outlet) -> None:
    """Hand on the pictures of an MJPEG stream to its end. Raises :class:`LostError` where it breaks off."""
    outlet.say("connected")
    decoder = _Decoder(outlet)
    try:
        _split(response, outlet, decoder)
    finally:
        opened = decoder.finish()
    if not opened and not outlet.closed:
        raise NoVideoError("it ended before its first picture")


def _split(response: HttpResponse, outlet: Outlet, decoder: _Decoder) -> None:
    splitter, damaged = JpegSplitter(), 0
    while not outlet.closed:
        try:
            chunk = response.read()
        except TimeoutError:
            raise LostError("no data within the time limit") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise LostError(f"the connection broke: {reason}") from None
        if not chunk:
            return
        for jpeg, begun_ns in splitter.feed(chunk, time.monotonic_ns()):
            decoder.put(jpeg, begun_ns)
        outlet.count_damaged(splitter.damaged - damaged)
        damaged = splitter.damaged


class _Decoder:
    """Decodes pictures on a thread of its own, the newest one that is there, or with ``every_frame`` each.

    Meanwhile the connection is read on. Where decoding takes longer than a picture lasts, pictures would otherwise grow
    old in the connection, where nobody can see it.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._changed = threading.Condition()  # guards all that follows
        self._waiting: tuple[bytes, int] | None = None
        self._left_out = 0
        self._ended = False
        self._opened = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, jpeg: bytes, begun_ns: int) -> None:
        """Hand a picture over, which began to arrive then. Where all are wanted, wait for room."""
        with self._changed:
            if self._outlet.every_frame:
                self._changed.wait_for(lambda: self._waiting is None)
            elif self._waiting is not None:
                self._left_out += 1
            self._waiting = jpeg, begun_ns
            self._changed.notify_all()

    def finish(self) -> bool:
        """Decode what waits, and say whether there was any picture."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        return self._opened

    def _run(self) -> None:
        try:
            self._decode_all()
        except BaseException:  # noqa: BLE001 - no picture can be decoded any more
            os._exit(3)

    def _decode_all(self) -> None:
        codec = av.CodecContext.create("mjpeg", "r")
        codec.thread_count = 1  # threads would hand each picture on later
        codec.options = {"err_detect": "explode"}  # no half pictures
        skipped = 0
        while (taken := self._take()) is not None:
            jpeg, begun_ns, left_out = taken
            skipped += left_out
            try:
                frames = codec.decode(av.Packet(jpeg))
            except av.FFmpegError:
                self._outlet.count_damaged()
                continue
            for frame in frames:
                if not self._opened:
                    self._outlet.say("opened", live=True, expected=None, codec="mjpeg")
                    self._opened = True
                self._outlet.put(frame, begun_ns, stamped_by_stream=False, skipped=skipped)
                skipped = 0

    def _take(self) -> tuple[bytes, int, int] | None:
        """Wait for a picture; return it with the number of those that it took the place of, or None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._ended)
            if self._waiting is None:
                return None
            taken = (*self._waiting, self._left_out)
            self._waiting, self._left_out = None, 0
            self._changed.notify_all()
            return taken

"""Finds out why a network stream does not open: FFmpeg does not say.

Asks the server once more, in a few lines of HTTP or RTSP (RFC 7826, in its form of RFC 2326, which cameras speak), and
again for a second where it has no room: it may not be done yet with the connection that failed. No text made here
contains the address or what was sent, so none can contain a password.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

__all__ = ["explain_failure"]

PROBE_TIMEOUT_S = 2.0
"""For each step of asking; the whole takes a few times this at most."""
_BUSY = 503
_BUSY_S = 1.0
"""How long a server that says so is asked again."""
_BUSY_PAUSE_S = 0.1
_LONGEST_ANSWER_BYTES = 65_536
_DEFAULT_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}


@dataclass(frozen=True)
class _Answer:
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


def explain_failure(uri: str, *, timed_out_ms: int | None = None, found: str) -> str:
    """Return, without the address, why this stream cannot be opened and what to do, as far as it can be found out.

    Args:
        uri: The stream's address, with the login where it has one.
        timed_out_ms: The open timeout, if that was what ended the attempt.
        found: What FFmpeg says of it, for a server that answers well.
    """
    try:
        return _explain(urlsplit(uri), timed_out_ms, found)
    except socket.gaierror:
        return "the host name cannot be resolved; check the address"
    except ConnectionRefusedError:
        return "connection refused: no server listens on this host and port; check both, and that the camera is on"
    except TimeoutError:
        return "the server does not answer; check the address, and that the camera is on and reachable from here"
    except ssl.SSLError as error:
        return f"no encrypted connection ({error.reason}); the server may speak the plain protocol on this port"
    except OSError as error:
        return f"cannot be reached: {error.strerror or type(error).__name__}"
    except ValueError:  # with a text that may quote the address
        return (
            "the address cannot be understood; escape special characters in the password (@ is %40, / is %2F, # is %23)"
        )


def _explain(parts: SplitResult, timed_out_ms: int | None, found: str) -> str:
    if timed_out_ms is not None:
        return _explain_silence(parts, timed_out_ms)
    has_login = parts.username is not None
    answer = _ask_with_login(parts)
    was_busy = answer.status == _BUSY
    limit = time.monotonic() + _BUSY_S
    while answer.status == _BUSY and time.monotonic() < limit:
        time.sleep(_BUSY_PAUSE_S)
        answer = _ask_with_login(parts)
    said = f"the server answers {answer.status} {answer.reason}".rstrip()
    if answer.status == 401:
        if has_login:
            return f"{said}: it does not accept this user name and password"
        return f"{said}: it wants a user name and password ({parts.scheme}://USER:PASSWORD@host/...)"
    if answer.status == 403:
        return f"{said}: this user may not see the stream"
    if answer.status == 404:
        return f"{said}: there is no stream under this path; the camera's manual names it"
    if answer.status == _BUSY:
        return f"{said}: it may have no room for one more viewer; close others, or look at the server"
    if answer.status >= 300:
        return said
    is_rtsp = parts.scheme.lower().startswith("rtsp")
    if is_rtsp and "m=video" not in answer.body:
        return "the stream has no video track"
    if was_busy:
        return f"{said} only now, and had no room for one more viewer before; open it again"
    if is_rtsp:
        return f"{said}, but its video cannot be opened ({found}); the codec may be unknown to FFmpeg"
    kind = answer.header("content-type").split(";")[0] or "no content type"
    if kind.lower().startswith("image/"):
        return f"the server sends one picture ({kind}), no stream; the camera's manual names the address of its stream"
    return f"not a video stream: the server sends {kind!r}, expected 'multipart/x-mixed-replace' (MJPEG) or a video"


def _ask_with_login(parts: SplitResult) -> _Answer:
    answer = _ask(parts, authorization=None)
    if answer.status == 401 and parts.username is not None:
        return _ask(parts, authorization=_authorization(parts, answer))
    return answer


def _explain_silence(parts: SplitResult, timed_out_ms: int) -> str:
    _connect(parts).close()
    silent = f"sent no video for {timed_out_ms} ms"
    if parts.scheme.lower().startswith("rtsp"):
        with contextlib.suppress(OSError):
            answer = _ask(parts, authorization=None)
            return (
                f"the server answers {answer.status} {answer.reason}, but {silent}; if it sends by UDP, a firewall may "
                f"hold that back: use TCP; or allow more time with a longer open timeout"
            )
    return f"the server accepts the connection, but {silent}; is it the right port?"


def _connect(parts: SplitResult) -> socket.socket:
    scheme = parts.scheme.lower()
    if not parts.hostname:
        raise ValueError
    address = (parts.hostname, parts.port or _DEFAULT_PORTS[scheme])
    connection = socket.create_connection(address, timeout=PROBE_TIMEOUT_S)
    if scheme not in ("https", "rtsps"):
        return connection
    # As FFmpeg does: see NetworkGrabber.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(connection, server_hostname=parts.hostname)
    except BaseException:
        connection.close()
        raise


def _target(parts: SplitResult) -> str:
    """What stands in the request line: RTSP has the whole address there, but never the login."""
    query = f"?{parts.query}" if parts.query else ""
    if parts.scheme.lower().startswith("rtsp"):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"
    return f"{parts.path or '/'}{query}"


def _method(parts: SplitResult) -> str:
    return "DESCRIBE" if parts.scheme.lower().startswith("rtsp") else "GET"


def _ask(parts: SplitResult, *, authorization: str | None) -> _Answer:
    method = _method(parts)
    if method == "DESCRIBE":
        lines = [f"DESCRIBE {_target(parts)} RTSP/1.0", "CSeq: 1", "Accept: application/sdp"]
    else:
        lines = [f"GET {_target(parts)} HTTP/1.0", f"Host: {parts.netloc.rpartition('@')[2]}", "Accept: */*"]
    if authorization:
        lines.append(f"Authorization: {authorization}")
    received = b""
    with _connect(parts) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        while len(received) < _LONGEST_ANSWER_BYTES and not _is_complete(received, with_body=method == "DESCRIBE"):
            chunk = connection.recv(4096)
            if not chunk:
                break
            received += chunk
    return _parse(received)


def _is_complete(received: bytes, *, with_body: bool) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
    return bool(end) and (not with_body or len(body) >= int(length[1] if length else 0))


def _parse(received: bytes) -> _Answer:
    head, _, body = received.decode("latin-1").partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    status = re.match(r"(?:HTTP|RTSP)/\d\.\d (\d{3}) ?([ -~]{0,80})", first)
    if not status:
        raise OSError(0, "what listens there speaks another protocol")
    headers = tuple((key.strip().lower(), value.strip()) for key, _, value in (line.partition(":") for line in rest))
    return _Answer(int(status[1]), status[2], headers, body)


def _authorization(parts: SplitResult, refused: _Answer) -> str | None:
    """The Authorization header that answers a 401: Basic or, rather, Digest with MD5 (RFC 7616)."""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    challenges = [value for key, value in refused.headers if key == "www-authenticate"]
    digest = next((c for c in challenges if c.lower().startswith("digest")), None)
    if digest is None:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    fields = {key.lower(): quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', digest)}

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    secret = md5(f"{user}:{fields.get('realm', '')}:{password}")
    request = md5(f"{_method(parts)}:{_target(parts)}")
    nonce = fields.get("nonce", "")
    counted = 'nc=00000001, cnonce="0a4f113b", qop=auth' if "auth" in fields.get("qop", "").split(",") else ""
    between = ":00000001:0a4f113b:auth:" if counted else ":"
    items = {"username": user, "realm": fields.get("realm", ""), "nonce": nonce, "uri": _target(parts)}
    items["response"] = md5(f"{secret}:{nonce}{between}{request}")
    if "opaque" in fields:
        items["opaque"] = fields["opaque"]
    return "Digest " + ", ".join(
        [*(f'{key}="{value}"' for key, value in items.items()), *([counted] if counted else [])]
    )

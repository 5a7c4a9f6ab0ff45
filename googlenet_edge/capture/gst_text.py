"""The text of a GStreamer pipeline: split as a shell would, without its passwords, or written for a CSI camera."""

from __future__ import annotations

import re
import shlex
from fractions import Fraction
from urllib.parse import parse_qsl, unquote

from googlenet_edge.capture.options import SourceOptions
from googlenet_edge.capture.redact import HIDDEN, redact
from googlenet_edge.errors import UsageError

__all__ = ["csi_pipeline", "find_fault", "hide_secrets", "is_endless", "split_pipeline"]

CSI_SIZE_PX = (1280, 720)
CSI_FPS = 30.0
_CSI_EXAMPLE = "csi:0?width=1280&height=720&fps=60&flip=2"
_LARGEST_SIDE_PX, _HIGHEST_FPS, _HIGHEST_SENSOR, _HIGHEST_FLIP = 16_384, 1000.0, 15, 7

_HOME_OF = {
    "nvarguscamerasrc": "it comes with JetPack, for the CSI cameras of a Jetson, and is on no other machine",
    "nvvidconv": "it comes with JetPack and is on no other machine",
    "gdppay": "sudo apt install gstreamer1.0-plugins-bad",
    "videoconvert": "sudo apt install gstreamer1.0-plugins-base",
}

# What waits for whoever takes its frames. Everything else may be a camera or a network stream, and falls behind if it
# is held up.
_PATIENT = re.compile(r"^(filesrc|multifilesrc|splitfilesrc|videotestsrc)$|(^|=)file://")


def split_pipeline(text: str) -> tuple[str, ...]:
    """Return the words of a pipeline as a shell would hand them to ``gst-launch-1.0``. Raises :class:`UsageError`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"gst: the pipeline cannot be read ({error}); quote it as for gst-launch-1.0") from None
    if not words:
        raise UsageError("gst: got no pipeline, expected for example 'gst: videotestsrc is-live=true'")
    if words[0] == "!" or words[-1] == "!":
        raise UsageError(
            f"gst: {hide_secrets(text)!r} begins or ends with '!'; "
            "expected elements that end in raw video, without a sink"
        )
    return tuple(words)


def hide_secrets(text: str) -> str:
    """Return a pipeline, or a line that GStreamer printed, without logins in addresses and values named like secrets.

    White space is not kept.
    """
    text = re.sub(r"\s*=\s*", "=", text)
    try:
        words = shlex.split(text)
    except ValueError:  # an apostrophe in a message
        words = text.split()
    return " ".join(_hide(word) for word in words)


def _hide(word: str) -> str:
    key, assigned, value = word.partition("=")
    if not assigned or "://" in key:
        return redact(word)
    if redact(f"{key}=x") != f"{key}=x":
        return f"{key}={HIDDEN}"
    return f"{key}={redact(value)}"


def is_endless(words: tuple[str, ...]) -> bool:
    """Return whether the pipeline may be a camera or stream; False where all it names are files or test pictures."""
    return not any(_PATIENT.search(word) for word in words) or "is-live=true" in words


def csi_pipeline(uri: str, options: SourceOptions) -> str:
    """Return the pipeline of a Jetson's CSI camera, ``csi:SENSOR?width=..&height=..&fps=..&flip=..``.

    Size and rate are the URI's, else those of the options, else 1280x720 at 30. Raises :class:`UsageError`.
    """
    sensor, _, query = uri.partition(":")[2].partition("?")
    sensor_id = _whole(uri, "the sensor", unquote(sensor) or "0", 0, _HIGHEST_SENSOR)
    given: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in ("width", "height", "fps", "flip") or key in given:
            fault = "is given twice" if key in given else "is unknown"
            raise UsageError(
                f"source {uri!r}: {key!r} {fault}; expected width, height, fps and flip, as {_CSI_EXAMPLE}"
            )
        given[key] = value
    if ("width" in given) != ("height" in given):
        raise UsageError(f"source {uri!r}: got only one of width and height, expected both, as {_CSI_EXAMPLE}")
    for name, keys, option in (("size", {"width"}, options.size_px), ("fps", {"fps"}, options.fps)):
        if keys & given.keys() and option is not None:
            raise UsageError(f"source {uri!r}: the {name} is also given as an option; leave out one of the two")
    width, height = options.size_px or CSI_SIZE_PX
    if "width" in given:
        width = _whole(uri, "width", given["width"], 1, _LARGEST_SIDE_PX)
        height = _whole(uri, "height", given["height"], 1, _LARGEST_SIDE_PX)
    rate = _rate(uri, given["fps"]) if "fps" in given else Fraction(options.fps or CSI_FPS)
    rate = rate.limit_denominator(1001)
    flip = _whole(uri, "flip", given.get("flip", "0"), 0, _HIGHEST_FLIP)
    # The frames stay in the memory of the image processor until nvvidconv has turned them; only it takes them out.
    return (
        f"nvarguscamerasrc sensor-id={sensor_id} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},format=NV12,"
        f"framerate={rate.numerator}/{rate.denominator} ! "
        f"nvvidconv flip-method={flip} ! video/x-raw,format=BGRx"
    )


def _whole(uri: str, name: str, text: str, lowest: int, highest: int) -> int:
    if re.fullmatch(r"[0-9]{1,6}", text) and lowest <= int(text) <= highest:
        return int(text)
    raise UsageError(f"source {uri!r}: {name}: got {text!r}, expected a whole number, {lowest} to {highest}")


def _rate(uri: str, text: str) -> Fraction:
    if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", text) and 0.001 <= float(text) <= _HIGHEST_FPS:
        return Fraction(text)
    raise UsageError(f"source {uri!r}: fps: got {text!r}, expected a number, 0.001 to {_HIGHEST_FPS:g}")


def find_fault(lines: tuple[str, ...]) -> str | None:
    """Return what went wrong, from the lines that ``gst-launch-1.0`` printed; None where none names a fault."""
    for i, line in enumerate(lines):
        missing = re.search(r"no element ([\w.\-]+)$", line.replace('"', ""))
        if missing:
            name = missing[1]
            home = _HOME_OF.get(name, f"check its spelling, and that its plugin is installed (apt-file search {name})")
            return f"GStreamer has no element {name!r}: {home}"
        fault = re.search(r"erroneous pipeline: (.*)|^ERROR: from element \S+: (.*)", line)
        if fault:
            detail = lines[i + 3] if lines[i + 1 : i + 2] == ("Additional debug info:",) and i + 3 < len(lines) else ""
            return (fault[1] or fault[2]) + (f" ({detail})" if detail else "")
    return None

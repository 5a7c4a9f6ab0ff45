"""What <linux/videodev2.h> says, as far as a camera needs it: structures, constants and ioctl numbers.

The layouts are those of 64-bit Linux on x86-64 and aarch64. A test compares them with the kernel's header.
"""

from __future__ import annotations

import ctypes

__all__ = [
    "Buffer",
    "Capability",
    "Format",
    "FormatDescription",
    "Fraction",
    "IntervalEnumeration",
    "RequestBuffers",
    "SizeEnumeration",
    "StreamParameters",
    "fourcc_code",
    "fourcc_name",
]

CAP_VIDEO_CAPTURE, CAP_VIDEO_CAPTURE_MPLANE = 0x1, 0x1000
CAP_STREAMING, CAP_DEVICE_CAPS = 0x04000000, 0x80000000
CAP_TIMEPERFRAME = 0x1000
BUF_TYPE_VIDEO_CAPTURE, MEMORY_MMAP, FIELD_ANY = 1, 1, 0
BUF_FLAG_ERROR = 0x40
BUF_FLAG_TIMESTAMP_MASK, BUF_FLAG_TIMESTAMP_MONOTONIC = 0xE000, 0x2000
BUF_FLAG_TSTAMP_SRC_MASK, BUF_FLAG_TSTAMP_SRC_SOE = 0x70000, 0x10000
FRAME_DISCRETE = 1
"""V4L2_FRMSIZE_TYPE_DISCRETE and V4L2_FRMIVAL_TYPE_DISCRETE: one value; others are ranges."""
QUANTIZATION_FULL_RANGE = 1

_U32 = ctypes.c_uint32


class Capability(ctypes.Structure):
    """struct v4l2_capability."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", _U32),
        ("capabilities", _U32),
        ("device_caps", _U32),
        ("reserved", _U32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """struct v4l2_fmtdesc."""

    _fields_ = (
        ("index", _U32),
        ("type", _U32),
        ("flags", _U32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", _U32),
        ("mbus_code", _U32),
        ("reserved", _U32 * 3),
    )


class Format(ctypes.Structure):
    """struct v4l2_format, with the union as a struct v4l2_pix_format."""

    _fields_ = (
        ("type", _U32),
        ("_pad", _U32),  # the union holds pointers, and stands at a multiple of 8
        ("width", _U32),
        ("height", _U32),
        ("pixelformat", _U32),
        ("field", _U32),
        ("bytesperline", _U32),
        ("sizeimage", _U32),
        ("colorspace", _U32),
        ("priv", _U32),
        ("flags", _U32),
        ("ycbcr_enc", _U32),
        ("quantization", _U32),
        ("xfer_func", _U32),
        ("_rest", ctypes.c_uint8 * 152),
    )


class Fraction(ctypes.Structure):
    """struct v4l2_fract: seconds per frame."""

    _fields_ = (("numerator", _U32), ("denominator", _U32))


class SizeEnumeration(ctypes.Structure):
    """struct v4l2_frmsizeenum: ``values`` is width and height, or min, max and step of each."""

    _fields_ = (
        ("index", _U32),
        ("pixel_format", _U32),
        ("type", _U32),
        ("values", _U32 * 6),
        ("reserved", _U32 * 2),
    )


class IntervalEnumeration(ctypes.Structure):
    """struct v4l2_frmivalenum: ``values`` is one interval, or the shortest, the longest and the step."""

    _fields_ = (
        ("index", _U32),
        ("pixel_format", _U32),
        ("width", _U32),
        ("height", _U32),
        ("type", _U32),
        ("values", Fraction * 3),
        ("reserved", _U32 * 2),
    )


class StreamParameters(ctypes.Structure):
    """struct v4l2_streamparm, with the union as a struct v4l2_captureparm."""

    _fields_ = (
        ("type", _U32),
        ("capability", _U32),
        ("capturemode", _U32),
        ("timeperframe", Fraction),
        ("extendedmode", _U32),
        ("readbuffers", _U32),
        ("_rest", ctypes.c_uint8 * 176),
    )


class RequestBuffers(ctypes.Structure):
    """struct v4l2_requestbuffers."""

    _fields_ = (
        ("count", _U32),
        ("type", _U32),
        ("memory", _U32),
        ("capabilities", _U32),
        ("flags", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8 * 3),
    )


class Buffer(ctypes.Structure):
    """struct v4l2_buffer, with the union ``m`` as the offset for mmap."""

    _fields_ = (
        ("index", _U32),
        ("type", _U32),
        ("bytesused", _U32),
        ("flags", _U32),
        ("field", _U32),
        ("seconds", ctypes.c_int64),
        ("microseconds", ctypes.c_int64),
        ("timecode", ctypes.c_uint8 * 16),
        ("sequence", _U32),
        ("memory", _U32),
        ("offset", _U32),
        ("_union", _U32),
        ("length", _U32),
        ("reserved2", _U32),
        ("request_fd", ctypes.c_int32),
    )


def _ioctl(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("V") << 8 | number


_READ, _WRITE, _BOTH = 2, 1, 3
QUERYCAP = _ioctl(_READ, 0, ctypes.sizeof(Capability))
ENUM_FMT = _ioctl(_BOTH, 2, ctypes.sizeof(FormatDescription))
G_FMT = _ioctl(_BOTH, 4, ctypes.sizeof(Format))
S_FMT = _ioctl(_BOTH, 5, ctypes.sizeof(Format))
REQBUFS = _ioctl(_BOTH, 8, ctypes.sizeof(RequestBuffers))
QUERYBUF = _ioctl(_BOTH, 9, ctypes.sizeof(Buffer))
QBUF = _ioctl(_BOTH, 15, ctypes.sizeof(Buffer))
DQBUF = _ioctl(_BOTH, 17, ctypes.sizeof(Buffer))
STREAMON = _ioctl(_WRITE, 18, ctypes.sizeof(ctypes.c_int))
STREAMOFF = _ioctl(_WRITE, 19, ctypes.sizeof(ctypes.c_int))
G_PARM = _ioctl(_BOTH, 21, ctypes.sizeof(StreamParameters))
S_PARM = _ioctl(_BOTH, 22, ctypes.sizeof(StreamParameters))
ENUM_FRAMESIZES = _ioctl(_BOTH, 74, ctypes.sizeof(SizeEnumeration))
ENUM_FRAMEINTERVALS = _ioctl(_BOTH, 75, ctypes.sizeof(IntervalEnumeration))


def fourcc_code(name: str) -> int:
    """Return the number of a pixel format: ``"MJPG"`` -> 0x47504A4D."""
    return int.from_bytes(name.encode("ascii"), "little")


def fourcc_name(code: int) -> str:
    """Return the four characters of a pixel format; what cannot be printed becomes ``"?"``."""
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in (code & 0x7FFFFFFF).to_bytes(4, "little"))
    return f"{text}-BE" if code & 0x80000000 else text

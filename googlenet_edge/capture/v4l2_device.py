"""An open V4L2 device node: what it is and offers, asked of the driver."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from googlenet_edge.capture import v4l2_abi as abi
from googlenet_edge.capture.v4l2_modes import Mode

__all__ = ["CameraDevice", "call", "open_node", "query", "rate_of", "read_modes"]

_MOST_ENTRIES = 256
"""Longest list that is read of a driver: one that never ends would otherwise hang us."""
_END_OF_LIST = (errno.EINVAL, errno.ENOTTY, errno.ENOSYS)


@dataclass(frozen=True)
class CameraDevice:
    """A V4L2 device node."""

    path: str
    name: str
    driver: str
    """The kernel driver, for example ``"uvcvideo"``; empty where the node cannot be opened."""
    captures: bool
    """It delivers video; a camera's second node, for its metadata, does not."""
    streams: bool = True
    """It hands its frames over in buffers that are mapped, one memory area per frame: what is read here."""

    def __str__(self) -> str:
        return f"{self.path} ({self.name})" if self.name else self.path


def open_node(path: str) -> int:
    """Open a device node; return its descriptor. Raises :class:`OSError`, ENOTTY for what is no device."""
    if not stat.S_ISCHR(Path(path).stat().st_mode):
        raise OSError(errno.ENOTTY, "not a device")
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def call(handle: int, request: int, argument: ctypes.Structure | ctypes.c_int) -> None:
    """Do an ioctl, again where a signal cut it short. Raises :class:`OSError`."""
    while True:
        try:
            fcntl.ioctl(handle, request, argument)
        except InterruptedError:
            continue
        return


def query(path: str, handle: int | None = None) -> CameraDevice:
    """Ask a device node what it is (VIDIOC_QUERYCAP). Raises :class:`OSError`."""
    if handle is None:
        handle = open_node(path)
        try:
            return query(path, handle)
        finally:
            os.close(handle)
    answer = abi.Capability()
    call(handle, abi.QUERYCAP, answer)
    # The device as a whole may capture while this node of it does not.
    caps = answer.device_caps if answer.capabilities & abi.CAP_DEVICE_CAPS else answer.capabilities
    return CameraDevice(
        path,
        name=answer.card.decode(errors="replace"),
        driver=answer.driver.decode(errors="replace"),
        captures=bool(caps & (abi.CAP_VIDEO_CAPTURE | abi.CAP_VIDEO_CAPTURE_MPLANE)),
        streams=bool(caps & abi.CAP_VIDEO_CAPTURE and caps & abi.CAP_STREAMING),
    )


def read_modes(handle: int, wanted_px: tuple[int, int]) -> tuple[Mode, ...]:
    """Return what the camera offers, in the driver's order; of a range of sizes, the one nearest to ``wanted_px``.

    Raises :class:`OSError` where the camera is gone.
    """
    modes: list[Mode] = []
    for code in _formats(handle):
        fourcc, sizes = abi.fourcc_name(code), list(_sizes(handle, code, wanted_px))
        if not sizes:
            modes.append(Mode(fourcc, None))
        for size_px in sizes:
            rates, rate_range = _rates(handle, code, size_px)
            modes.append(Mode(fourcc, size_px, rates, rate_range))
    return tuple(modes)


def _formats(handle: int) -> Iterator[int]:
    for index in range(_MOST_ENTRIES):
        entry = abi.FormatDescription(index=index, type=abi.BUF_TYPE_VIDEO_CAPTURE)
        if not _listed(handle, abi.ENUM_FMT, entry):
            return
        yield entry.pixelformat


def _sizes(handle: int, code: int, wanted_px: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for index in range(_MOST_ENTRIES):
        entry = abi.SizeEnumeration(index=index, pixel_format=code)
        if not _listed(handle, abi.ENUM_FRAMESIZES, entry):
            return
        if entry.type != abi.FRAME_DISCRETE:
            width, height = (_nearest(side, tuple(entry.values[3 * i : 3 * i + 3])) for i, side in enumerate(wanted_px))
            yield width, height
            return
        yield entry.values[0], entry.values[1]


def _nearest(side: int, limits: tuple[int, ...]) -> int:
    low, high, step = limits
    return min(max(low + (side - low) // max(step, 1) * max(step, 1), low), high)


def _rates(handle: int, code: int, size_px: tuple[int, int]) -> tuple[tuple[float, ...], tuple[float, float] | None]:
    rates = []
    for index in range(_MOST_ENTRIES):
        entry = abi.IntervalEnumeration(index=index, pixel_format=code, width=size_px[0], height=size_px[1])
        if not _listed(handle, abi.ENUM_FRAMEINTERVALS, entry):
            break
        if entry.type != abi.FRAME_DISCRETE:
            slowest, fastest = rate_of(entry.values[1]), rate_of(entry.values[0])
            return (), None if slowest is None or fastest is None else (slowest, fastest)
        if (rate := rate_of(entry.values[0])) is not None:
            rates.append(rate)
    return tuple(sorted(rates, reverse=True)), None


def rate_of(interval: abi.Fraction) -> float | None:
    """Return frames per second; None for an interval that means nothing."""
    if not interval.numerator or not interval.denominator:
        return None
    return float(Fraction(interval.denominator, interval.numerator))


def _listed(handle: int, request: int, entry: ctypes.Structure) -> bool:
    try:
        call(handle, request, entry)
    except OSError as error:
        if error.errno in _END_OF_LIST:
            return False
        raise
    return True

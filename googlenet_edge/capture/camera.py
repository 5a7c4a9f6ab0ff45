"""Cameras through V4L2 (USB cameras, capture cards), and the list of those that this machine has."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2

from googlenet_edge.capture.frames import decode_next, has_backend, to_bgr
from googlenet_edge.capture.images import natural_order
from googlenet_edge.capture.options import SourceOptions
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame

__all__ = ["CameraDevice", "CameraGrabber", "camera_path", "find_cameras", "open_device"]

_logger = logging.getLogger(__name__)

# From <linux/videodev2.h>.
_VIDIOC_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_CAP_VIDEO_CAPTURE, _CAP_VIDEO_CAPTURE_MPLANE, _CAP_DEVICE_CAPS = 0x1, 0x1000, 0x80000000


@dataclass(frozen=True)
class CameraDevice:
    """A V4L2 device node."""

    path: str
    name: str
    driver: str
    """The kernel driver, for example ``"uvcvideo"``; empty where the node cannot be opened."""
    captures: bool
    """It delivers video; a camera's second node, for its metadata, does not."""

    def __str__(self) -> str:
        return f"{self.path} ({self.name})" if self.name else self.path


def find_cameras(
    devices: Path = Path("/dev"), names: Path = Path("/sys/class/video4linux")
) -> tuple[CameraDevice, ...]:
    """Return the cameras of this machine, by number: nodes that may not be opened too, but no metadata nodes."""
    found = []
    for path in sorted(devices.glob("video[0-9]*"), key=natural_order):
        try:
            device = _query(str(path))
        except PermissionError:
            device = CameraDevice(str(path), "no permission to open it", driver="", captures=True)
        except OSError:
            continue
        if device.captures:
            try:
                name = (names / path.name / "name").read_text().strip()
            except (OSError, UnicodeDecodeError):
                name = device.name
            found.append(CameraDevice(device.path, name or device.name, device.driver, captures=True))
    return tuple(found)


def camera_path(uri: str) -> str:
    """Return the device node of a camera given by index or path."""
    return f"/dev/video{int(uri)}" if re.fullmatch(r"[0-9]+", uri) else uri


class CameraGrabber:
    """A V4L2 camera as a :class:`~googlenet_edge.capture.live.Grabber`.

    ``open_capture`` is :func:`open_device`, but for tests, which have no camera. Frames are stamped when the driver
    hands them over. Raises :class:`SourceError` where the device is missing, forbidden, busy or no camera.
    """

    live = True

    def __init__(
        self,
        path: str,
        options: SourceOptions,
        *,
        clock: Clock,
        open_capture: Callable[[str, SourceOptions], cv2.VideoCapture],
    ) -> None:
        self._path = path
        self._clock = clock
        self._capture = open_capture(path, options)

    def grab(self, sequence: int) -> Frame | None:
        """Return the camera's next frame. Raises :class:`SourceLostError` where it delivers none."""
        # A first frame that is no complete JPEG is common; but when V4L2 delivers none at all, it took ten seconds.
        received = decode_next(self._capture, self._clock, patience_s=0)
        if received is None:
            fate = (
                "was unplugged"
                if not Path(self._path).exists()
                else "stopped delivering; unplug it and plug it in again"
            )
            raise SourceLostError(f"{self._path}: the camera {fate} (after {sequence} frames)")
        image, stamp_ns = received
        return Frame(to_bgr(image, self._path), sequence, stamp_ns)

    def release(self) -> None:
        """Free the camera."""
        self._capture.release()


def open_device(path: str, options: SourceOptions) -> cv2.VideoCapture:
    """Open a camera with OpenCV and ask it for the size, rate and pixel format of the options."""
    _check(path)
    capture = cv2.VideoCapture(path, cv2.CAP_V4L2 if has_backend(cv2.CAP_V4L2) else cv2.CAP_ANY)
    if not capture.isOpened():
        raise SourceError(
            f"{path}: the camera does not open; another program may be using it (see: fuser -v {path}), "
            f"or it offers no format that OpenCV reads (see: v4l2-ctl -d {path} --list-formats-ext)"
        )
    # The pixel format first, because it decides which sizes and rates there are.
    if options.fourcc is not None:
        capture.set(cv2.CAP_PROP_FOURCC, _fourcc(options.fourcc))
    if options.size_px is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.size_px[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size_px[1])
    if options.fps is not None:
        capture.set(cv2.CAP_PROP_FPS, options.fps)
    size_px = (round(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    fps = capture.get(cv2.CAP_PROP_FPS)
    if options.size_px not in (None, size_px) or (options.fps is not None and abs(fps - options.fps) > 0.5):
        _logger.warning(
            "%s: asked for %s at %s frames/s, delivers %s at %g", path, options.size_px, options.fps, size_px, fps
        )
    else:
        _logger.info("%s: delivers %s at %g frames/s", path, size_px, fps)
    return capture


def _check(path: str) -> None:
    """Raise :class:`SourceError` with the reason why this is no camera that V4L2 can read; OpenCV would not tell."""
    try:
        device = _query(path)
    except OSError as error:
        reason = {
            errno.ENOENT: "there is no such camera",
            errno.EACCES: "no permission to open it; add your user to the group that owns it, usually: "
            "sudo usermod -aG video $USER, and log in again",
            errno.EBUSY: f"another program is using it (see: fuser -v {path})",
            errno.ENODEV: "the camera was unplugged",
            errno.ENXIO: "the camera was unplugged",
            errno.ENOTTY: "not a camera device",
            errno.EINVAL: "not a camera device",
        }.get(error.errno or 0, f"cannot be opened: {error.strerror}")
        raise SourceError(f"{path}: {reason}; {_known_cameras()}") from error
    if not device.captures:
        raise SourceError(f"{path}: delivers no video ({device.name}: perhaps a metadata node); {_known_cameras()}")
    if device.driver == "tegra-video":
        raise SourceError(
            f"{path}: a CSI camera ({device.name}), whose raw sensor data V4L2 hands over undeveloped; open it as "
            f"csi:0, which uses GStreamer's nvarguscamerasrc (csi:1 for the second sensor)"
        )


def _query(path: str) -> CameraDevice:
    """Ask a device node what it is (VIDIOC_QUERYCAP). Raises :class:`OSError`."""
    if not stat.S_ISCHR(Path(path).stat().st_mode):
        raise OSError(errno.ENOTTY, "not a device")
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        answer = fcntl.ioctl(handle, _VIDIOC_QUERYCAP, bytes(_CAPABILITY.size))
    finally:
        os.close(handle)
    return parse_capability(path, answer)


def parse_capability(path: str, answer: bytes) -> CameraDevice:
    """Read a ``struct v4l2_capability``."""
    driver, card, _bus, _version, all_caps, device_caps = _CAPABILITY.unpack(answer)
    # The device as a whole may capture while this node of it does not.
    caps = device_caps if all_caps & _CAP_DEVICE_CAPS else all_caps
    name, driver_name = (text.split(b"\0", 1)[0].decode(errors="replace") for text in (card, driver))
    return CameraDevice(path, name, driver_name, bool(caps & (_CAP_VIDEO_CAPTURE | _CAP_VIDEO_CAPTURE_MPLANE)))


def _known_cameras() -> str:
    found = find_cameras()
    return f"cameras found: {', '.join(str(c) for c in found)}" if found else "no cameras were found on this machine"


def _fourcc(name: str) -> int:
    return int.from_bytes(name.encode("ascii"), "little")

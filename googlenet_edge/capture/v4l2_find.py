"""The cameras that this machine has, and why a device node is none."""

from __future__ import annotations

import errno
from pathlib import Path

from googlenet_edge.capture.images import natural_order
from googlenet_edge.capture.v4l2_device import CameraDevice, query
from googlenet_edge.errors import SourceError

__all__ = ["check_camera", "explain", "find_cameras"]


def find_cameras(
    devices: Path = Path("/dev"), names: Path = Path("/sys/class/video4linux")
) -> tuple[CameraDevice, ...]:
    """Return the cameras of this machine, by number: nodes that may not be opened too, but no metadata nodes."""
    found = []
    for path in sorted(devices.glob("video[0-9]*"), key=natural_order):
        try:
            device = query(str(path))
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


def check_camera(path: str) -> None:
    """Raise :class:`SourceError` with the reason why this is no camera whose frames can be read here."""
    try:
        device = query(path)
    except OSError as error:
        is_no_camera = error.errno in (errno.ENOTTY, errno.EINVAL)
        reason = "not a camera device" if is_no_camera else explain(path, error)
        raise SourceError(f"{path}: {reason}; {_known_cameras()}") from error
    if not device.captures:
        raise SourceError(f"{path}: delivers no video ({device.name}: perhaps a metadata node); {_known_cameras()}")
    if device.driver == "tegra-video":
        raise SourceError(
            f"{path}: a CSI camera ({device.name}), whose raw sensor data V4L2 hands over undeveloped; open it as "
            f"csi:0, which uses GStreamer's nvarguscamerasrc (csi:1 for the second sensor)"
        )
    if not device.streams:
        raise SourceError(
            f"{path}: {device.name} hands over its frames in several memory planes, or by read() alone, expected one "
            f"mapped plane; open it through GStreamer: 'gst: v4l2src device={path} ! decodebin'"
        )


def explain(path: str, error: OSError) -> str:
    """Return what an error of the driver means for whoever wants to open this camera, and what to do about it."""
    return {
        errno.ENOENT: "there is no such camera",
        errno.EACCES: "no permission to open it; add your user to the group that owns it, usually: "
        "sudo usermod -aG video $USER, and log in again",
        errno.EPERM: "no permission to open it; in a container or a service, the device must be passed in",
        errno.EBUSY: f"another program is using it (see: fuser -v {path})",
        errno.ENODEV: "the camera was unplugged",
        errno.ENXIO: "the camera was unplugged",
        errno.ENOSPC: "the USB bus has no bandwidth left for it; plug it into another port, or ask for a smaller size, "
        "a lower rate or MJPG",
        errno.ENOMEM: "no memory for its frame buffers; ask for fewer, or for a smaller size",
        errno.EINVAL: "the driver refuses what every camera has to do; is it a virtual one that nothing feeds?",
    }.get(error.errno or 0, f"cannot be opened: {error.strerror}")


def _known_cameras() -> str:
    found = find_cameras()
    return f"cameras found: {', '.join(str(c) for c in found)}" if found else "no cameras were found on this machine"

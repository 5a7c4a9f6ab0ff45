"""What a V4L2 camera's buffers hold, as BGR images."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.capture.v4l2_modes import COMPRESSED
from googlenet_edge.types import ImageArray

__all__ = ["PictureLayout", "decode_jpeg", "decode_picture"]

# Two bytes per pixel, in which two pixels share their chroma; then one chroma plane for both; then two planes.
_PACKED = {"YUYV": cv2.COLOR_YUV2BGR_YUY2, "UYVY": cv2.COLOR_YUV2BGR_UYVY, "YVYU": cv2.COLOR_YUV2BGR_YVYU}
_SEMI_PLANAR = {"NV12": cv2.COLOR_YUV2BGR_NV12, "NV21": cv2.COLOR_YUV2BGR_NV21}
_PLANAR = {"YU12": cv2.COLOR_YUV2BGR_I420, "YV12": cv2.COLOR_YUV2BGR_YV12}
_COLOR = {"BGR3": (3, None), "RGB3": (3, cv2.COLOR_RGB2BGR)} | dict.fromkeys(
    ("BGR4", "XR24", "AR24"), (4, cv2.COLOR_BGRA2BGR)
)

_END = b"\xff\xd9"
_MORE = b"\x55" * 64
_GREY_LEVEL = 128


@dataclass(frozen=True)
class PictureLayout:
    """How a picture lies in a buffer."""

    fourcc: str
    width_px: int
    height_px: int
    stride_bytes: int
    """From one row of the (first) plane to the next; at least what a row of pixels takes."""
    full_range: bool = False
    """YUV from 0 to 255 in place of 16 to 235 (luma) and 16 to 240 (chroma)."""

    @property
    def row_bytes(self) -> int:
        """What a row of the (first) plane takes, without padding."""
        if self.fourcc in _PACKED:
            return 2 * self.width_px
        return self.width_px * _COLOR[self.fourcc][0] if self.fourcc in _COLOR else self.width_px

    @property
    def size_bytes(self) -> int:
        """What the whole picture takes, without the padding of its last row; 0 for JPEG pictures, which vary."""
        if self.fourcc in COMPRESSED:
            return 0
        if self.fourcc in _PLANAR:
            return self.stride_bytes * self.height_px * 3 // 2
        rows = self.height_px * 3 // 2 if self.fourcc in _SEMI_PLANAR else self.height_px
        return self.stride_bytes * (rows - 1) + self.row_bytes

    @property
    def is_whole(self) -> bool:
        """Whether the sides are multiples of 2 where pixels share their chroma; other pictures cannot be converted."""
        if self.fourcc in _PACKED:
            return self.width_px % 2 == 0
        if self.fourcc in _SEMI_PLANAR or self.fourcc in _PLANAR:
            return self.width_px % 2 == self.height_px % 2 == 0
        return True


def decode_picture(memory: memoryview, layout: PictureLayout) -> ImageArray | None:
    """Return a buffer's picture as uint8 (height, width, 3) BGR, in memory of its own; None where it is damaged.

    YUV is taken as BT.601. A buffer that ends before the picture does is damaged, as is a JPEG picture of which the
    decoder would have to make up a part.
    """
    if layout.fourcc in COMPRESSED:
        return decode_jpeg(bytes(memory))
    if len(memory) < layout.size_bytes:
        return None
    width, height, stride = layout.width_px, layout.height_px, layout.stride_bytes
    if layout.fourcc in _PACKED:
        packed = np.ndarray((height, width, 2), np.uint8, memory, strides=(stride, 2, 1))
        if layout.full_range:
            luma_first = layout.fourcc != "UYVY"
            packed = _narrowed(packed, luma_channel=0 if luma_first else 1)
        return _as_image(cv2.cvtColor(packed, _PACKED[layout.fourcc]))
    if layout.fourcc in _SEMI_PLANAR or layout.fourcc in _PLANAR:
        code = _SEMI_PLANAR.get(layout.fourcc) or _PLANAR[layout.fourcc]
        planes = _planes(memory, layout)
        if layout.full_range:
            planes[:height] = cv2.LUT(planes[:height], _LUMA)
            planes[height:] = cv2.LUT(planes[height:], _CHROMA)
        return _as_image(cv2.cvtColor(planes, code))
    channels, color_code = _COLOR.get(layout.fourcc, (1, cv2.COLOR_GRAY2BGR))
    image = np.ndarray((height, width, channels), np.uint8, memory, strides=(stride, channels, 1))
    return _as_image(image.copy() if color_code is None else cv2.cvtColor(image, color_code))


def decode_jpeg(data: bytes) -> ImageArray | None:
    """Return a JPEG picture as uint8 (height, width, 3) BGR; None for one that is damaged or cut short.

    libjpeg fills up what is missing with grey and only prints a warning, so that has to be found out here. A picture
    without the marker at its end, as some cameras send them, is good if all else is there.
    """
    end = data.rfind(_END)
    # Bytes of 255 before a marker fill; one that a cut has left would make a marker of what is put behind it below.
    data = (data[:end] if end >= 0 else data).rstrip(b"\xff")
    if not data.startswith(b"\xff\xd8") or not _restarts_in_order(data):
        return None
    image = _decode(data + _END)
    if image is None or image[-1, -1].tolist() != [_GREY_LEVEL] * 3:
        return image
    # The last pixel is of the grey that stands for what is missing. If the data were complete, more of them would
    # change nothing: the decoder skips what comes behind the last pixel.
    longer = _decode(data + _MORE + _END)
    return image if longer is not None and np.array_equal(image, longer) else None


def _decode(data: bytes) -> ImageArray | None:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if image is None else _as_image(image)


def _restarts_in_order(data: bytes) -> bool:
    """Whether the restart markers, where a picture has them, are all there and count from 0 to 7 and over again.

    A decoder goes on behind a gap, with the rows between made up.
    """
    start, expected = _restarts(data)
    if not expected:
        return True
    pixels = np.frombuffer(data, np.uint8)[start:]
    markers = pixels[1:][pixels[:-1] == 0xFF]
    restarts = markers[(markers >= 0xD0) & (markers <= 0xD7)]
    # The number first: the header of a damaged picture may announce millions.
    return len(restarts) == expected and bool(np.array_equal(restarts, 0xD0 + np.arange(expected) % 8))


def _restarts(data: bytes) -> tuple[int, int]:
    """Where the pixels begin, and how many restart markers there must be; 0 also where the header is a strange one."""
    position, interval, blocks = 2, 0, 0
    while position + 20 <= len(data) and data[position] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, position + 1)
        if marker == 0xDD:  # DRI
            (interval,) = struct.unpack_from(">H", data, position + 4)
        elif marker == 0xC0:  # SOF0: the first component has the finest sampling
            height, width, _components, _first, sampling = struct.unpack_from(">HHBBB", data, position + 5)
            across, down = 8 * max(sampling >> 4, 1), 8 * max(sampling & 15, 1)
            blocks = -(-width // across) * -(-height // down)
        elif marker == 0xDA:  # SOS
            return position + 2 + length, (blocks - 1) // interval if blocks and interval else 0
        position += 2 + length
    return 0, 0


def _planes(memory: memoryview, layout: PictureLayout) -> npt.NDArray[np.uint8]:
    """The luma plane and the chroma below it, as one array (height * 3/2, width) without padding, a copy."""
    width, height, stride = layout.width_px, layout.height_px, layout.stride_bytes
    if layout.fourcc in _SEMI_PLANAR or stride == width:
        return np.ndarray((height * 3 // 2, width), np.uint8, memory, strides=(stride, 1)).copy()
    luma = np.ndarray((height, width), np.uint8, memory, strides=(stride, 1))
    # Both chroma planes have half the stride, and lie one behind the other.
    chroma = np.ndarray((height, width // 2), np.uint8, memory, offset=stride * height, strides=(stride // 2, 1))
    return np.concatenate((luma.ravel(), chroma.ravel())).reshape(height * 3 // 2, width)


def _table(scale: float, zero: float, center: float) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint((np.arange(256) - center) * scale + zero).clip(0, 255), np.uint8)


_LUMA, _CHROMA = _table(219 / 255, 16, 0), _table(224 / 255, 128, 128)


def _narrowed(packed: npt.NDArray[np.uint8], *, luma_channel: int) -> npt.NDArray[np.uint8]:
    """Full-range YUV as the limited range that OpenCV converts."""
    tables = np.stack((_LUMA, _CHROMA) if luma_channel == 0 else (_CHROMA, _LUMA), axis=-1)
    return np.asarray(cv2.LUT(packed, tables[np.newaxis]), np.uint8)


def _as_image(image: object) -> ImageArray:
    return np.asarray(image, np.uint8)

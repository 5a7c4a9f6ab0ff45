from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from googlenet_edge.capture import v4l2_abi as abi

STRUCTURES = {
    "v4l2_capability": (abi.Capability, {}),
    "v4l2_fmtdesc": (abi.FormatDescription, {}),
    "v4l2_format": (
        abi.Format,
        {
            name: f"fmt.pix.{name}"
            for name in (
                *("width", "height", "pixelformat", "field", "bytesperline", "sizeimage", "colorspace", "priv"),
                *("flags", "ycbcr_enc", "quantization", "xfer_func"),
            )
        },
    ),
    "v4l2_fract": (abi.Fraction, {}),
    "v4l2_frmsizeenum": (abi.SizeEnumeration, {"values": "discrete"}),
    "v4l2_frmivalenum": (abi.IntervalEnumeration, {"values": "discrete"}),
    "v4l2_streamparm": (
        abi.StreamParameters,
        {
            name: f"parm.capture.{name}"
            for name in ("capability", "capturemode", "timeperframe", "extendedmode", "readbuffers")
        },
    ),
    "v4l2_requestbuffers": (abi.RequestBuffers, {}),
    "v4l2_buffer": (
        abi.Buffer,
        {"seconds": "timestamp.tv_sec", "microseconds": "timestamp.tv_usec", "offset": "m.offset"},
    ),
}
VALUES = {
    "VIDIOC_QUERYCAP": abi.QUERYCAP,
    "VIDIOC_ENUM_FMT": abi.ENUM_FMT,
    "VIDIOC_G_FMT": abi.G_FMT,
    "VIDIOC_S_FMT": abi.S_FMT,
    "VIDIOC_REQBUFS": abi.REQBUFS,
    "VIDIOC_QUERYBUF": abi.QUERYBUF,
    "VIDIOC_QBUF": abi.QBUF,
    "VIDIOC_DQBUF": abi.DQBUF,
    "VIDIOC_STREAMON": abi.STREAMON,
    "VIDIOC_STREAMOFF": abi.STREAMOFF,
    "VIDIOC_G_PARM": abi.G_PARM,
    "VIDIOC_S_PARM": abi.S_PARM,
    "VIDIOC_ENUM_FRAMESIZES": abi.ENUM_FRAMESIZES,
    "VIDIOC_ENUM_FRAMEINTERVALS": abi.ENUM_FRAMEINTERVALS,
    "V4L2_CAP_VIDEO_CAPTURE": abi.CAP_VIDEO_CAPTURE,
    "V4L2_CAP_VIDEO_CAPTURE_MPLANE": abi.CAP_VIDEO_CAPTURE_MPLANE,
    "V4L2_CAP_STREAMING": abi.CAP_STREAMING,
    "V4L2_CAP_DEVICE_CAPS": abi.CAP_DEVICE_CAPS,
    "V4L2_CAP_TIMEPERFRAME": abi.CAP_TIMEPERFRAME,
    "V4L2_BUF_TYPE_VIDEO_CAPTURE": abi.BUF_TYPE_VIDEO_CAPTURE,
    "V4L2_MEMORY_MMAP": abi.MEMORY_MMAP,
    "V4L2_FIELD_ANY": abi.FIELD_ANY,
    "V4L2_BUF_FLAG_ERROR": abi.BUF_FLAG_ERROR,
    "V4L2_BUF_FLAG_TIMESTAMP_MASK": abi.BUF_FLAG_TIMESTAMP_MASK,
    "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC": abi.BUF_FLAG_TIMESTAMP_MONOTONIC,
    "V4L2_FRMSIZE_TYPE_DISCRETE": abi.FRAME_DISCRETE,
    "V4L2_FRMIVAL_TYPE_DISCRETE": abi.FRAME_DISCRETE,
    "V4L2_QUANTIZATION_FULL_RANGE": abi.QUANTIZATION_FULL_RANGE,
}


def test_the_layouts_are_those_of_the_kernels_header(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("needs a C compiler and <linux/videodev2.h> (Debian: gcc linux-libc-dev)")
    expected, questions = {}, []
    for name, (structure, paths) in STRUCTURES.items():
        expected[name] = ctypes.sizeof(structure)
        questions.append((name, f"sizeof(struct {name})"))
        for field in (entry[0] for entry in structure._fields_):
            if not field.startswith(("_", "reserved")):
                expected[f"{name}.{field}"] = getattr(structure, field).offset
                questions.append((f"{name}.{field}", f"offsetof(struct {name}, {paths.get(field, field)})"))
    expected |= VALUES
    questions += [(name, name) for name in VALUES]
    lines = "\n".join(f'printf("{name} %lu\\n", (unsigned long)({value}));' for name, value in questions)
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(
        "#include <linux/videodev2.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n" + lines + "\n}\n"
    )
    subprocess.run([compiler, source, "-o", program], check=True, timeout=60)
    printed = subprocess.run([program], check=True, capture_output=True, text=True, timeout=60).stdout.split()
    assert dict(zip(printed[::2], map(int, printed[1::2]), strict=True)) == expected


@pytest.mark.parametrize(("name", "code"), [("MJPG", 0x47504A4D), ("YUYV", 0x56595559)])
def test_a_pixel_format_is_four_characters(name: str, code: int) -> None:
    assert abi.fourcc_code(name) == code
    assert abi.fourcc_name(code) == name


def test_a_pixel_format_that_cannot_be_printed_has_a_name_too() -> None:
    assert abi.fourcc_name(0x80000000 | abi.fourcc_code("Y16 ")) == "Y16 -BE"
    assert abi.fourcc_name(1) == "?" * 4

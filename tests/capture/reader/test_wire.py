from __future__ import annotations

import pytest

from googlenet_edge.capture.reader.wire import FRAME, HEADER_BYTES, MESSAGE, Header, message_packet


def test_a_header_survives_the_way_through_the_pipe() -> None:
    header = Header(FRAME, True, 3, 641, 480, 1936, 12, 2**62)
    data = header.pack()
    assert len(data) == HEADER_BYTES
    assert Header.unpack(data) == header
    assert Header.unpack(message_packet("ended", reason="é")[:HEADER_BYTES]).kind == MESSAGE


@pytest.mark.parametrize(
    "header",
    [
        Header(3, row_bytes=10),
        Header(MESSAGE, row_bytes=1 << 30),
        Header(FRAME, width_px=0, height_px=1, row_bytes=3),
        Header(FRAME, width_px=10, height_px=20_000, row_bytes=30),
        Header(FRAME, width_px=10, height_px=10, row_bytes=29),
        Header(FRAME, width_px=10, height_px=10, row_bytes=1 << 20),
    ],
)
def test_what_is_no_header_is_refused(header: Header) -> None:
    with pytest.raises(ValueError, match="expected a header"):
        Header.unpack(header.pack())
    with pytest.raises(ValueError, match="expected a header"):
        Header.unpack(b"what a library printed".ljust(HEADER_BYTES, b"."))

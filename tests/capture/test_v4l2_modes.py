from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.capture.v4l2_modes import READABLE, Choice, Mode, choose

VGA, HD = (640, 480), (1280, 720)
OWN = ("YUYV", VGA)


def test_uncompressed_is_the_first_choice_where_it_gives_the_rate() -> None:
    modes = [Mode("MJPG", VGA, (60.0, 30.0)), Mode("YUYV", VGA, (30.0,)), Mode("NV12", VGA, (29.97,))]
    assert choose(modes, current=OWN) == Choice("YUYV", VGA, 30.0)
    assert choose(modes, current=OWN, fps=60) == Choice("MJPG", VGA, 60.0)
    assert choose(modes[2:] + modes[:1], current=OWN) == Choice("NV12", VGA, 29.97)


def test_jpeg_is_taken_for_the_rate() -> None:
    modes = [Mode("YUYV", HD, (10.0, 5.0)), Mode("MJPG", HD, (30.0, 15.0))]
    assert choose(modes, current=OWN, size_px=HD) == Choice("MJPG", HD, 30.0)
    assert choose(modes, current=OWN, size_px=HD, fps=5) == Choice("YUYV", HD, 5.0)
    assert choose(modes, current=OWN, size_px=HD, fourcc="YUYV") == Choice("YUYV", HD, 10.0)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [((120.0, 60.0, 30.0), 30.0), ((60.0, 50.0), 50.0), ((25.0, 15.0), 25.0), ((29.97, 15.0), 29.97)],
)
def test_the_usual_rate_is_30_or_what_comes_next_above_or_the_best(rates: tuple[float, ...], expected: float) -> None:
    choice = choose([Mode("YUYV", VGA, rates)], current=OWN)
    assert choice is not None
    assert choice.fps == expected


def test_grey_only_where_there_is_no_colour() -> None:
    grey = Mode("GREY", VGA, (30.0,))
    assert choose([grey, Mode("MJPG", VGA, (30.0,))], current=OWN) == Choice("MJPG", VGA, 30.0)
    assert choose([grey], current=OWN) == Choice("GREY", VGA, 30.0)


def test_of_unknown_formats_nothing_is_chosen() -> None:
    assert choose([Mode("H264", VGA, (30.0,))], current=("H264", VGA)) is None
    assert choose([], current=OWN) is None


def test_without_rates_the_drivers_own_format_stays() -> None:
    modes = [Mode("YUYV", None), Mode("NV12", None)]
    assert choose(modes, current=("NV12", VGA)) == Choice("NV12", VGA, None)
    assert choose(modes, current=("NV12", VGA), size_px=HD, fps=25) == Choice("NV12", HD, 25)


SIZES = st.tuples(st.integers(2, 4096), st.integers(2, 2160))
MODES = st.lists(
    st.builds(
        Mode,
        st.sampled_from([*READABLE, "H264"]),
        st.none() | SIZES,
        st.lists(st.floats(1, 240), max_size=4).map(lambda rates: tuple(sorted(rates, reverse=True))),
    ),
    max_size=12,
)


@given(MODES, st.none() | SIZES, st.none() | st.floats(1, 240), st.none() | st.sampled_from(READABLE))
def test_what_is_chosen_is_always_offered(
    modes: list[Mode], size_px: tuple[int, int] | None, fps: float | None, fourcc: str | None
) -> None:
    choice = choose(modes, current=OWN, size_px=size_px, fps=fps, fourcc=fourcc)
    if choice is None:
        assert all(mode.fourcc == "H264" for mode in modes)
        return
    chosen = [mode for mode in modes if mode.fourcc == choice.fourcc and mode.size_px in (None, choice.size_px)]
    assert chosen
    assert choice.fps is None or choice.fps == fps or any(choice.fps in mode.rates for mode in chosen)
    if fourcc in {mode.fourcc for mode in modes} - {"MJPG", "JPEG"}:
        assert choice.fourcc == fourcc

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from googlenet_edge.capture.reader.damage import LONGEST_S, Damage

PERIOD_NS = 40_000_000


@dataclass
class Frame:
    key_frame: bool = False
    is_corrupt: bool = False


def left_out(damage: Damage, kinds: str) -> str:
    """Which of these are left out: of (k)ey pictures, (c)orrupt ones, others (.), and what is (n)o picture at all."""
    out = ""
    for number, kind in enumerate(kinds):
        now_ns = number * PERIOD_NS
        if kind == "n":
            damage.happened(now_ns)
            out += "x"
        else:
            frame: Any = Frame(key_frame=kind == "k", is_corrupt=kind == "c")
            out += "x" if damage.spoils(frame, now_ns) else "-"
    return out


def test_a_damaged_picture_spoils_those_up_to_the_next_key_picture() -> None:
    assert left_out(Damage(read_timeout_s=5), "k..c...k...n..k.k") == "---xxxx----xxx---"


def test_a_camera_that_sends_no_key_picture_is_not_gone_for_good() -> None:
    limit = round(LONGEST_S * 1e9 / PERIOD_NS)
    assert left_out(Damage(read_timeout_s=5), "kc" + "." * 200) == "-" + "x" * (limit + 1) + "-" * (200 - limit)


def test_pictures_go_on_before_the_read_timeout() -> None:
    assert left_out(Damage(read_timeout_s=0.4), "kc" + "." * 20) == "-" + "x" * 6 + "-" * 15


def test_of_a_recording_the_damaged_pictures_alone_are_left_out() -> None:
    assert left_out(Damage(read_timeout_s=0), "k.c.n..c.k") == "--x-x--x--"

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.cli.run_sources import NamedSource, read_sources, whose
from googlenet_edge.errors import MissingPackageError, SourceError, SourceLostError, UsageError


def named(*texts: str) -> list[tuple[str | None, str]]:
    return [(source.name, source.uri) for source in read_sources(texts)]


def test_one_source_has_no_name_unless_it_is_given_one() -> None:
    assert named("0") == [(None, "0")]
    assert named("door=0") == [("door", "0")]


def test_several_sources_have_the_names_that_they_are_given_or_their_number() -> None:
    assert named("0", "door=rtsp://h/a=b", "demo:") == [
        ("camera1", "0"),
        ("door", "rtsp://h/a=b"),
        ("camera3", "demo:"),
    ]


@pytest.mark.parametrize(
    "uri",
    [
        "http://host/video?resolution=640x480",
        "rtsp://host/user=admin&password=x",
        "gst: videotestsrc pattern=ball",
        "csi:0?width=1280",
        "demo:?seed=1",
        "clips/a=b.mp4",
    ],
)
def test_an_equals_sign_within_an_address_makes_no_name(uri: str) -> None:
    assert named(uri) == [(None, uri)]


def test_what_exists_under_the_whole_text_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a=b.mp4", "@odd"):
        Path(name).touch()
        assert named(name) == [(None, name)]


def test_two_cameras_of_one_name_are_refused() -> None:
    for texts in (("a=0", "a=1"), ("camera2=0", "1")):
        with pytest.raises(UsageError, match="twice"):
            read_sources(texts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("front door=0", "got the name 'front door', expected NAME=SOURCE with a name of letters"),
        ("tür=rtsp://u:word@h/1", "got the name 'tür'"),
        ("=0", "got the name ''"),
        ("door=", "got no source after 'door='"),
    ],
)
def test_a_name_of_other_characters_is_told_as_such(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        read_sources([text])
    assert "word" not in str(raised.value)


def test_names_that_differ_in_case_alone_are_refused_because_files_are_named_by_them() -> None:
    with pytest.raises(UsageError, match="got the names 'Door' and 'door', expected one of its own for each"):
        read_sources(("Door=0", "door=1"))


@given(st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True), st.text(min_size=1))
def test_a_name_is_cut_off_and_the_rest_is_left_alone(name: str, uri: str) -> None:
    if not uri.startswith("@"):
        assert named(f"no-such-{name}={uri}") == [(f"no-such-{name}", uri)]


def test_a_file_has_one_source_a_line(tmp_path: Path) -> None:
    path = tmp_path / "sources"
    path.write_text("# cameras\n\n  door=rtsp://u:p@h/1  \n\tdemo:\n")
    assert named(f"@{path}", "1") == [("door", "rtsp://u:p@h/1"), ("camera2", "demo:"), ("camera3", "1")]
    path.write_text("rtsp://u:p@h/1")
    assert named(f"@{path}") == [(None, "rtsp://u:p@h/1")]
    assert named(f"yard=@{path}") == [("yard", "rtsp://u:p@h/1")]


def test_a_file_may_begin_with_a_byte_order_mark_and_have_the_line_ends_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "sources"
    path.write_bytes(b"\xef\xbb\xbfdoor=0\r\nyard=1\r\n")
    assert named(f"@{path}") == [("door", "0"), ("yard", "1")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got no source"),
        ("# none\n", "got no source"),
        ("@other\n", "another @FILE"),
        ("x" * (1 << 20) + "y", "1 MiB"),
    ],
)
def test_a_file_without_sources_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sources"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_sources([f"@{path}"])


def test_a_name_for_several_sources_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sources").write_text("0\n1\n")
    with pytest.raises(UsageError, match="got 2 sources"):
        read_sources([f"door=@{tmp_path}/sources"])


def test_a_file_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_sources([f"@{tmp_path}/sources"])
    with pytest.raises(SourceError, match="directory"):
        read_sources([f"@{tmp_path}"])
    with pytest.raises(UsageError, match="expected @FILE"):
        read_sources(["@"])


def test_an_address_is_not_in_the_text_of_its_source() -> None:
    assert "word" not in repr(NamedSource("a", "rtsp://user:word@host"))


def test_an_error_gets_the_cameras_name_and_keeps_its_kind_and_cause() -> None:
    cause = OSError("cause")
    lost = SourceLostError("rtsp://h: no frame")
    lost.__cause__ = cause
    told = whose(lost, "door")
    assert type(told) is SourceLostError
    assert (str(told), told.__cause__) == ("door: rtsp://h: no frame", cause)
    assert whose(lost, None) is lost
    missing = MissingPackageError("av", extra="cpu")
    assert whose(missing, "door") is missing

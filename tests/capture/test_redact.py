from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.capture import redact

# Letters that appear nowhere else in the addresses below, so that what is left of a password can be told.
SECRETS = st.text(alphabet="XYZ0189@:/?#%&=[]!ü ", min_size=3).filter(lambda s: any(c in s for c in "XYZ"))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://me:secret@10.0.0.7:554/cam", "rtsp://***@10.0.0.7:554/cam"),
        ("rtsp://me@10.0.0.7/cam", "rtsp://***@10.0.0.7/cam"),
        ("RTSP://me:p@ss/wo?rd@host/cam", "RTSP://***@host/cam"),
        ("http://host/v?usr=me&pwd=secret&w=640", "http://host/v?usr=me&pwd=***&w=640"),
        ("http://host/v?access_token=abc.def#x", "http://host/v?access_token=***#x"),
        ("rtsp://host/user=me&password=secret&channel=1", "rtsp://host/user=me&password=***&channel=1"),
        ("rtsp://host:554/cam", "rtsp://host:554/cam"),
        ("rtsp:/me:secret@host/cam", "rtsp:/***@host/cam"),
        ("rtsp//me:secret@host/cam", "rtsp//***@host/cam"),
        ("me:secret@host", "***@host"),
        ("clips/me@home.mp4", "clips/me@home.mp4"),
        ("0", "0"),
    ],
)
def test_hides_logins_and_tokens_only(uri: str, shown: str) -> None:
    assert redact(uri) == shown


@settings(deadline=None, max_examples=60)
@given(user=SECRETS, password=SECRETS, scheme=st.sampled_from(["rtsp", "http", "https", "rtsps", "ftp"]))
def test_no_login_survives_whatever_characters_it_has(user: str, password: str, scheme: str) -> None:
    assert redact(f"{scheme}://{user}:{password}@host/cam") == f"{scheme}://***@host/cam"


@settings(deadline=None)
@given(
    value=st.text(alphabet="XYZ%+/=.-_", min_size=1),
    name=st.sampled_from(["password", "Pwd", "api_key", "sig", "X-Amz-Signature", "token", "auth"]),
)
def test_no_token_survives(value: str, name: str) -> None:
    assert redact(f"http://host/cam?a=1&{name}={value}&b=2") == f"http://host/cam?a=1&{name}=***&b=2"


@settings(deadline=None)
@given(st.text())
def test_redacting_twice_changes_nothing(text: str) -> None:
    assert redact(redact(text)) == redact(text)

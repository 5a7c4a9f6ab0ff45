"""Labels from text and JSON of every usual shape, and what is wrong with the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import LabelsError
from googlenet_edge.model.labels import read_labels

words = st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=8)


def write(tmp_path: Path, content: str | bytes, name: str = "labels.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("cat\ndog", ("cat", "dog")),
        ("cat\r\ndog\r\n\r\n \n", ("cat", "dog")),
        ("\ufeffcat\ndog\n", ("cat", "dog")),
        (
            "n01440764 tench\nn01443537\tgoldfish, Carassius auratus  \n",
            ("n01440764 tench", "n01443537\tgoldfish, Carassius auratus"),
        ),
        ("[background]\ndog\n", ("[background]", "dog")),
        ("{0: 'tench, Tinca tinca',\n 1: \"Bob's fish\"}\n", ("tench, Tinca tinca", "Bob's fish")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('{"0": "cat", "1": "dog"}', ("cat", "dog")),
        ('{"1": "dog", "0": "cat"}', ("cat", "dog")),
        ('{"dog": 1, "cat": 0}', ("cat", "dog")),
        ('{"0": 1, "1": 0}', ("1", "0")),
        ('{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}', ("tench", "goldfish")),
        ('{"labels": ["cat", "dog"]}', ("cat", "dog")),
        ('{"model_type": "x", "id2label": {"0": "cat", "1": "dog"}}', ("cat", "dog")),
    ],
)
def test_shapes(content: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, content), 2) == labels


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(words, min_size=1, max_size=12, unique=True))
def test_every_json_shape_says_the_same(labels: list[str], tmp_path: Path) -> None:
    shapes = (
        labels,
        {str(index): label for index, label in enumerate(labels)},
        {label: index for index, label in reversed(list(enumerate(labels)))},
        {str(index): [f"n{index}", label] for index, label in enumerate(labels)},
    )
    for shape in shapes:
        for ascii_only in (False, True):
            path = write(tmp_path, json.dumps(shape, ensure_ascii=ascii_only), "labels.json")
            assert read_labels(path, len(labels)) == tuple(labels)


def test_equal_labels_are_kept_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_labels(write(tmp_path, "crane\ndog\ncrane\n"), 3) == ("crane", "dog", "crane")
    assert "1 labels stand for more than one class: crane" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "cat\n", "got 1 labels, expected 2, one for each class; check that it belongs"),
        (
            "a.txt",
            "background\ncat\ndog\n",
            "got 3 labels, expected 2.*if 'background' or 'dog' is a heading or a backg",
        ),
        ("a.txt", "cat\n\ndog\n", r"got an empty label for class 1 \(line 2"),
        ("a.txt", "", "got an empty file"),
        ("a.txt", " \n\n", "got an empty file"),
        ("a.txt", "cat\ndog\n".encode("utf-16"), "got UTF-16 text; save it as UTF-8"),
        ("a.txt", "käse\nbrot\n".encode("latin-1"), r"not UTF-8 \(at byte 1\); save it as UTF-8"),
        ("a.txt", b"cat\0\ndog", "got a binary file"),
        ("a.txt", "cat\x1b[2J\ndog", "control character in the label of class 0: 'cat.x1b"),
        ("a.txt", b"a" * 16_000_001, "got more than 16 MB"),
        ("a.json", '["cat", "dog"', "got broken JSON .*expected one label a line, or JSON"),
        ("a.json", "[" * 100_000, "got broken JSON"),
        ("a.json", "3", "got a int"),
        ("a.json", '"cat"', "got a str"),
        ("a.json", "null", "got null"),
        ("a.json", '["cat", 3]', "got '3' for class 1"),
        ("a.json", '["cat", "\\ud800"]', "control character in the label of class 1"),
        ("a.json", "[]", "got 0 labels, expected 2"),
        ("a.json", "{}", "got 0 labels, expected 2"),
        ("a.json", '{"0": "cat", "2": "dog"}', "got 2 labels, but none for class 1"),
        ("a.json", '{"1": "cat", "2": "dog"}', "none for class 0; they start at 1: number the classes from 0"),
        ("a.json", '{"cat": 0, "dog": 0}', "got class 0 more than once"),
        ("a.json", '{"0": "cat", "00": "dog"}', "got class 0 more than once"),
        ("a.json", '{"0": "cat", "0": "dog"}', "got '0' more than once"),
        ("a.json", '{"x": "cat", "y": "dog"}', "got the key 'x', which is not a class id"),
        ("a.json", '{"cat": true, "dog": false}', "got the key 'cat'"),
    ],
)
def test_wrong_files(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, content, name)
    with pytest.raises(LabelsError, match=message) as caught:
        read_labels(path, 2)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"cannot be read .No such file"):
        read_labels(tmp_path / "none.txt", 2)
    with pytest.raises(LabelsError, match="got a directory, a device or a pipe"):
        read_labels(tmp_path, 2)

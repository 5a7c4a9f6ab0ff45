from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.demo.dataset import LABELS, SPLIT_COUNTS, scene
from googlenet_edge.errors import DatasetError, UsageError
from googlenet_edge.evaluation.dataset import FileDataset, open_dataset
from googlenet_edge.evaluation.files import list_csv
from googlenet_edge.evaluation.labels import ClassFinder

COLORS = ("red", "green", "blue", "white", "black")


def save(path: Path, shape: tuple[int, ...] = (12, 20, 3), value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(shape, value, np.uint8))
    return path


def names_and_truths(spec: Path, labels: tuple[str, ...] = COLORS) -> list[tuple[str, int]]:
    return [(item.name, item.truth) for item in open_dataset(spec, labels)]


# ---- labels


def test_a_label_wins_over_a_number_that_it_looks_like() -> None:
    finder = ClassFinder(["2", "0", "stop"])
    assert [finder.find(name) for name in ("2", "0", "stop", "1", "002")] == [0, 1, 2, 1, 2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Stop_sign", "did you mean 'stop sign'"),
        ("3", "class id 3: expected 0 to 2"),
        ("9" * 5000, "class id 9999"),
        ("-1", "unknown label '-1'"),
        ("", "unknown label ''"),
        ("²", "unknown label"),  # str.isdigit() says yes to it, int() says no
        ("crane", "belongs to classes 1, 2: write the class id"),
    ],
)
def test_what_is_no_class_names_the_nearest(name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        ClassFinder(["stop sign", "crane", "crane"]).find(name)


@given(name=st.text(max_size=40), labels=st.lists(st.text(max_size=8), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_any_name_gives_a_class_or_our_error(name: str, labels: list[str]) -> None:
    try:
        found = ClassFinder(labels).find(name)
    except DatasetError:
        return
    assert labels[found] == name or int(name) == found


# ---- a folder per class


def test_folders_are_labels_ids_or_padded_ids(tmp_path: Path) -> None:
    for name in ("blue", "1", "003"):
        save(tmp_path / name / "a.png")
    assert names_and_truths(tmp_path) == [("003/a.png", 3), ("1/a.png", 1), ("blue/a.png", 2)]


def test_images_below_a_class_are_found_and_other_files_left_alone(tmp_path: Path) -> None:
    save(tmp_path / "red" / "monday" / "b.JPG")
    save(tmp_path / "red" / "a.jpeg")
    (tmp_path / "red" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    assert names_and_truths(tmp_path) == [("red/a.jpeg", 0), ("red/monday/b.JPG", 0)]


def test_an_unknown_folder_is_named_with_the_nearest_label(tmp_path: Path) -> None:
    save(tmp_path / "red" / "a.png")
    save(tmp_path / "gren" / "a.png")
    with pytest.raises(DatasetError, match=r"folder '.*gren': unknown label 'gren': did you mean 'green'"):
        open_dataset(tmp_path, COLORS)


def test_empty_classes_and_loose_images_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "red" / "a.png")
    save(tmp_path / "loose.png")
    (tmp_path / "green").mkdir()
    with caplog.at_level(logging.WARNING):
        assert len(open_dataset(tmp_path, COLORS)) == 1
    assert "1 images outside" in caplog.text
    assert "green: no images" in caplog.text


def test_folders_without_images(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    with pytest.raises(DatasetError, match="no images in its 1 folders"):
        open_dataset(tmp_path, COLORS)


def test_images_without_folders(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="has no folders: expected one folder per class"):
        open_dataset(tmp_path, COLORS)


def test_damaged_images_are_handed_over_without_pixels(tmp_path: Path) -> None:
    whole = save(tmp_path / "red" / "whole.jpg", (200, 200, 3))
    content = whole.read_bytes()
    (tmp_path / "red" / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "red" / "empty.png").write_bytes(b"")
    (tmp_path / "red" / "folder.png").mkdir()
    (tmp_path / "red" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "red" / "text.bmp").write_text("hello")
    problems = {item.name: item.problem for item in open_dataset(tmp_path, COLORS) if item.image is None}
    assert set(problems) == {f"red/{name}" for name in ("cut.jpg", "empty.png", "gone.png", "text.bmp")}
    assert "truncated" in str(problems["red/cut.jpg"])
    assert "No such file" in str(problems["red/gone.png"])
    assert not any(str(tmp_path) in str(problem) for problem in problems.values())


def test_grey_and_alpha_images_become_bgr(tmp_path: Path) -> None:
    save(tmp_path / "red" / "alpha.png", (12, 20, 4))
    save(tmp_path / "red" / "grey.png", (12, 20))
    for item in open_dataset(tmp_path, COLORS):
        assert item.image is not None
        assert item.image.shape == (12, 20, 3)
        assert item.image.dtype == np.uint8


def test_a_limit_spreads_over_the_classes(tmp_path: Path) -> None:
    for color in COLORS[:3]:
        for number in range(4):
            save(tmp_path / color / f"{number}.png")
    limited = open_dataset(tmp_path, COLORS).limited(3)
    assert [item.truth for item in limited] == [2, 1, 0]  # blue, green, red: in the order of the names
    assert "3 of 12 images" in limited.description
    assert len(open_dataset(tmp_path, COLORS).limited(100)) == 12
    with pytest.raises(UsageError, match="at least 1"):
        limited.limited(0)


# ---- CSV


def write_csv(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "set.csv"
    path.write_text(text, encoding=encoding, newline="")
    return path


def test_csv_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a, b.png")
    elsewhere = save(tmp_path / "c.png")
    path = write_csv(
        tmp_path / "images", f'Label, Path ,note\r\n\r\nred,"a, b.png",x\r\n 4 ,{elsewhere},\r\n', "utf-8-sig"
    )
    dataset = open_dataset(path, COLORS)
    assert isinstance(dataset, FileDataset)
    assert names_and_truths(path) == [("a, b.png (line 3)", 0), (f"{elsewhere} (line 4)", 4)]
    assert all(item.image is not None for item in dataset)


def test_missing_csv_images_carry_their_line(tmp_path: Path) -> None:
    (item,) = open_dataset(write_csv(tmp_path, "path,label\nnowhere.png,red\n"), COLORS)
    assert (item.image, item.name) == (None, "nowhere.png (line 2)")
    assert "No such file" in str(item.problem)


def test_bad_rows_are_listed_with_their_lines(tmp_path: Path) -> None:
    rows = "path,label\na.png,red\nb.png\n,red\nc.png,gren\n" + "d.png,9\n" * 5
    with pytest.raises(DatasetError) as caught:
        open_dataset(write_csv(tmp_path, rows), COLORS)
    lines = str(caught.value).split("\n  ")
    assert lines[0].endswith("has 8 bad rows:")
    assert lines[1:3] == ["line 3: no label", "line 4: no path"]
    assert "line 5: unknown label 'gren': did you mean 'green'" in lines[3]
    assert lines[-1] == "and 3 more"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"got the columns \(none\)"),
        (b"file;label\na.png;red\n", "got the columns file;label"),
        (b"path,label\n", "has no rows"),
        (b"path,label\n\xff\xfe,red\n", "not UTF-8"),
        (b'path,label\n"a.png,red\n', "line 2: unexpected end of data"),
        (b'path,label\n"a.png"x,red\n', "line 2:"),
    ],
)
def test_a_file_that_is_no_such_csv(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "set.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        open_dataset(path, COLORS)


def test_a_zero_byte_in_a_path_is_one_image_less(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "path,label\na\0.png,red\n")
    try:
        (item,) = open_dataset(path, COLORS)
    except DatasetError as error:  # Python 3.10's csv refuses it
        assert "NUL" in str(error)  # noqa: PT017 - depends on the version
    else:
        assert item.image is None


@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1), st.sampled_from(COLORS)
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(deadline=None, max_examples=40)
def test_whatever_csv_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    rows = [(name.strip(), label) for name, label in rows if name.strip()] or [("a.png", "red")]
    text = io.StringIO()
    csv.writer(text).writerows([("path", "label"), *rows])
    path = write_csv(tmp_path_factory.mktemp("csv"), text.getvalue())
    files = list_csv(path, ClassFinder(COLORS))
    assert [file.truth for file in files] == [COLORS.index(label) for _, label in rows]
    assert [file.path for file in files] == [path.parent / name for name, _ in rows]


# ---- neither


@pytest.mark.parametrize("name", ["nowhere", "nowhere.csv", "x" * 300, "zero\0byte"])
def test_a_dataset_that_does_not_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"expected a folder with a folder per class|cannot be read"):
        open_dataset(tmp_path / name, COLORS)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither a folder nor a \.csv file"):
        open_dataset(save(tmp_path / "a.png"), COLORS)


# ---- the demo's scenes


def test_demo_scenes_follow_the_bundles_class_ids() -> None:
    shuffled = tuple(reversed(LABELS))
    dataset = open_dataset("demo:test?count=3", shuffled)
    items = list(dataset)
    assert len(dataset) == len(items) == 3
    for number, item in enumerate(items):
        image, class_id = scene("test", number)
        assert shuffled[item.truth] == LABELS[class_id]
        assert item.image is not None
        np.testing.assert_array_equal(item.image, image)


def test_demo_counts() -> None:
    assert len(open_dataset("demo:selection", LABELS)) == SPLIT_COUNTS["selection"]
    assert open_dataset("demo:test", LABELS).limited(7).description == "demo:test?count=7"


@pytest.mark.parametrize(
    "spec",
    [
        "demo:",
        "demo:tset",
        "demo:test?count=0",
        "demo:test?count=99999999999",
        "demo:test?count=",
        "demo:test?size=3",
        "demo:test?count=²",
    ],
)
def test_demo_sets_that_do_not_exist(spec: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        open_dataset(spec, LABELS)


def test_the_demo_needs_the_demos_classes() -> None:
    with pytest.raises(DatasetError, match="the bundle has no class"):
        open_dataset("demo:test", COLORS)

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge import __version__
from googlenet_edge.bundle import Accuracy, Bundle, BundleFacts, GoldenFrames
from googlenet_edge.bundle.writer import write_bundle
from googlenet_edge.errors import BundleError, InputError, OutputError

Write = Callable[..., Bundle]


@pytest.fixture
def write(tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tiny_graph_path: Path) -> Write:
    def write(directory: Path | str, facts: BundleFacts = tiny_facts, *, overwrite: bool = False) -> Bundle:
        graph = tiny_graph_path.read_bytes()
        return write_bundle(directory, facts, graph=graph, golden=tiny_golden, tolerance=1e-4, overwrite=overwrite)

    return write


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_hashes_sizes_version_and_time_are_added(write: Write, tmp_path: Path, tiny_graph_path: Path) -> None:
    bundle = write(tmp_path / "deep" / "down" / "b")
    assert bundle.path == tmp_path / "deep" / "down" / "b"
    record = bundle.manifest.record("model.onnx")
    assert record.sha256 == hashlib.sha256(tiny_graph_path.read_bytes()).hexdigest()
    assert record.size_bytes == tiny_graph_path.stat().st_size
    assert bundle.manifest.tools == {"onnx": "1.23", "googlenet_edge": __version__}
    assert names(bundle.path) == ["bundle.json", "golden.npz", "model.onnx"]
    assert names(bundle.path.parent) == ["b"]


def test_the_same_contents_have_the_same_hashes(write: Write, tmp_path: Path) -> None:
    assert write(tmp_path / "a").manifest.files == write(tmp_path / "b").manifest.files


def test_permissions_are_those_of_any_new_folder(write: Write, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert write(tmp_path / "b").path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_bundle_is_only_replaced_when_asked(write: Write, tmp_path: Path, tiny_facts: BundleFacts) -> None:
    write(tmp_path / "b")
    new = replace(tiny_facts, name="new")
    with pytest.raises(BundleError, match=r"there is one already; .*overwrite=True \(--overwrite\)"):
        write(tmp_path / "b", new)
    assert Bundle.open(tmp_path / "b").name == "tiny"
    assert write(tmp_path / "b", new, overwrite=True).name == "new"
    assert names(tmp_path) == ["b"]


def test_figures_are_added_by_writing_a_bundle_over_itself(write: Write, tmp_path: Path) -> None:
    bundle = write(tmp_path / "b")
    facts = replace(bundle.manifest, accuracy=(Accuracy("test", 100, 98.0, 100.0),))
    again = write(tmp_path / "b", facts, overwrite=True)
    assert again.manifest.accuracy[0].top1_percent == 98.0
    assert again.manifest.files == bundle.manifest.files


def test_an_empty_folder_is_taken(write: Write, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert write(tmp_path / "b").name == "tiny"


def test_a_link_to_a_bundle_stays_a_link(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path) == ["link", "real"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_bundle_is_left_alone(write: Write, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"precious")
    with pytest.raises(BundleError, match=r"got a folder with 'cat.jpg' and no bundle.json, expected a free name"):
        write(tmp_path / "photos", overwrite=overwrite)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(BundleError, match="got an existing file, expected a folder"):
        write(tmp_path / "file", overwrite=overwrite)
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"precious"
    assert names(tmp_path) == ["file", "photos"]


def put_engine(folder: Path) -> Path:
    engines = folder / "engines"
    engines.mkdir()
    plan = engines / "tensorrt-10.3.0.30-sm87-0123456789ab.plan"
    for path in (plan, plan.with_suffix(".json"), engines / ".lock"):
        path.write_text("engine")
    return plan


def test_engines_stay_with_the_same_graph_and_go_with_another(
    write: Write, tmp_path: Path, tiny_facts: BundleFacts, tiny_golden: GoldenFrames
) -> None:
    folder = tmp_path / "b"
    write(folder)
    plan = put_engine(folder)
    write(folder, overwrite=True)
    assert plan.read_text() == "engine"
    write_bundle(folder, tiny_facts, graph=b"another", golden=tiny_golden, tolerance=1e-4, overwrite=True)
    assert names(folder) == ["bundle.json", "golden.npz", "model.onnx"]


def test_a_file_put_beside_engines_is_not_deleted_with_them(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "b")
    note = put_engine(tmp_path / "b").with_name("notes.txt")
    note.write_text("precious")
    with pytest.raises(BundleError, match=r"it also holds 'engines/notes.txt', which would be lost"):
        write(tmp_path / "b", overwrite=True)
    assert note.read_text() == "precious"


def test_a_file_put_beside_a_bundle_is_not_deleted_with_it(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "b")
    (tmp_path / "b" / "notes.txt").write_text("precious")
    with pytest.raises(BundleError, match=r"it also holds 'notes.txt', which would be lost"):
        write(tmp_path / "b", overwrite=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "bundle.json").write_text("{}")
    with pytest.raises(BundleError, match="no integer schema_version"):
        write(tmp_path / "c", overwrite=True)


@pytest.mark.parametrize("failing_step", ["fsync", "first rename", "second rename"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_at_any_step_leaves_the_old_bundle(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_step: str, failure: BaseException
) -> None:
    old = write(tmp_path / "b")
    calls = []
    real_rename, real_fsync = Path.rename, os.fsync

    def rename(self: Path, target: Path) -> Path:
        calls.append("rename")
        if (failing_step, len(calls)) in (("first rename", 1), ("second rename", 2)):
            raise failure
        return real_rename(self, target)

    def fsync(descriptor: int) -> None:
        if failing_step == "fsync":
            raise failure
        real_fsync(descriptor)

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(os, "fsync", fsync)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write(tmp_path / "b", overwrite=True)
    monkeypatch.undo()
    assert Bundle.open(tmp_path / "b").manifest == old.manifest
    assert names(tmp_path) == ["b"]


def test_a_killed_write_leaves_the_old_bundle(write: Write, tmp_path: Path) -> None:
    old = write(tmp_path / "b")
    script = (
        "import os, sys, dataclasses\n"
        "from googlenet_edge.bundle import Bundle\n"
        "from googlenet_edge.bundle.writer import write_bundle\n"
        "old = Bundle.open(sys.argv[1])\n"
        "os.fsync = lambda descriptor: os._exit(9)\n"
        "facts = dataclasses.replace(old.manifest, name='new')\n"
        "write_bundle(sys.argv[1], facts, graph=b'x', golden=old.golden(), tolerance=0.1, overwrite=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "b")], check=False)
    assert done.returncode == 9
    assert Bundle.open(tmp_path / "b").manifest == old.manifest


def test_a_folder_that_cannot_be_made(write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot be written: .*; what was there before is unchanged"):
        write(tmp_path / "file" / "b")
    with pytest.raises(OutputError, match="File name too long"):
        write(tmp_path / ("b" * 300))
    with pytest.raises(OutputError, match="cannot be written"):
        write("with\0zero")


def test_parts_that_do_not_fit_together(tmp_path: Path, tiny_facts: BundleFacts, tiny_golden: GoldenFrames) -> None:
    few = GoldenFrames(tiny_golden.images, np.ascontiguousarray(tiny_golden.probabilities[:, :4]))
    with pytest.raises(InputError, match=r"golden frames: got \(3, 224, 224, 3\) and \(3, 4\), expected .*\(5,\)"):
        write_bundle(tmp_path / "b", tiny_facts, graph=b"x", golden=few, tolerance=0.1)
    with pytest.raises(InputError, match="graph: got 0 bytes"):
        write_bundle(tmp_path / "b", tiny_facts, graph=b"", golden=tiny_golden, tolerance=0.1)
    with pytest.raises(InputError, match="0 < tolerance <= 1"):
        write_bundle(tmp_path / "b", tiny_facts, graph=b"x", golden=tiny_golden, tolerance=0.0)
    assert names(tmp_path) == []


@pytest.mark.parametrize("version", [1, 99])
def test_a_bundle_of_another_version_can_be_replaced(
    tiny_bundle: Path, tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tiny_graph_path: Path, version: int
) -> None:
    """Else its owner would have to delete it by hand after an upgrade; but still nothing that it does not list."""
    path = tiny_bundle / "bundle.json"
    fields = json.loads(path.read_text())
    fields["schema_version"] = version
    fields["unheard_of"] = True
    path.write_text(json.dumps(fields))

    def write() -> None:
        write_bundle(
            tiny_bundle, tiny_facts, graph=tiny_graph_path.read_bytes(), golden=tiny_golden, tolerance=1e-4,
            overwrite=True,
        )  # fmt: skip

    (tiny_bundle / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"thesis\.txt"):
        write()
    (tiny_bundle / "thesis.txt").unlink()
    write()
    assert Bundle.open(tiny_bundle).manifest.schema_version == 2

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet_edge.bundle import Artefact, Lineage
from googlenet_edge.errors import BundleError, UsageError
from googlenet_edge.scenarios.matrix.candidates import differing_origins, find_candidates
from googlenet_edge.types import CropRule
from tests.scenarios.matrix.bundles import Maker


def test_bundles_come_with_the_widest_precision_first_and_are_named_by_it(maker: Maker) -> None:
    paths = [maker.make("a", "int8"), maker.make("b", "fp32"), maker.make("c", "fp16")]
    found, missing = find_candidates(paths)
    assert [(one.title, one.bundle.path.name) for one in found] == [("fp32", "b"), ("fp16", "c"), ("int8", "a")]
    assert missing == []


def test_a_folder_of_bundles_stands_for_all_in_it(maker: Maker) -> None:
    maker.make("one", "int8")
    maker.make("two")
    (maker.folder / "notes").mkdir()
    assert [one.title for one in find_candidates([maker.folder])[0]] == ["fp32", "int8"]


def test_asked_for_precisions_come_in_their_order_and_those_that_none_has_are_told_with_the_remedy(
    maker: Maker,
) -> None:
    paths = [maker.make("a"), maker.make("b", "fp16")]
    found, missing = find_candidates(paths, ["int8", "fp16"])
    assert [one.title for one in found] == ["fp16"]
    assert [one.precision for one in missing] == ["int8"]
    assert "deploy CHECKPOINT --precision int8 --images IMAGES -o FOLDER" in missing[0].reason


def test_several_of_one_precision_are_told_apart_by_their_folders(maker: Maker) -> None:
    paths = [maker.make("a"), maker.make("b", "int8"), maker.make("c", "int8")]
    assert [one.title for one in find_candidates(paths)[0]] == ["fp32", "int8 b", "int8 c"]
    (maker.folder / "more").mkdir()
    paths.append(maker.make("more/b", "int8"))
    titles = [one.title for one in find_candidates(paths)[0]]
    assert titles[1:] == [f"int8 {path}" for path in paths[1:]], "names alone do not tell them apart"


def test_what_is_no_bundle_is_told(maker: Maker, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (empty, tmp_path / "absent"):
        with pytest.raises(BundleError, match=path.name):
            find_candidates([maker.make(f"good {path.name}"), path])


def test_a_bundle_that_is_given_twice_is_refused(maker: Maker) -> None:
    path = maker.make("a")
    with pytest.raises(UsageError, match="twice"):
        find_candidates([path, maker.folder])


def test_bundles_of_other_classes_or_another_crop_are_refused(maker: Maker) -> None:
    first, labels = maker.make("a"), ("1", "2", "3", "4", "5")
    with pytest.raises(UsageError, match="different labels"):
        find_candidates([first, maker.make("b", labels=labels)])
    with pytest.raises(UsageError, match="different crop rule"):
        find_candidates([first, maker.make("c", crop=CropRule(resize_px=240))])


def test_bundles_of_different_checkpoints_are_told(maker: Maker) -> None:
    paths = [maker.make("a"), maker.make("b", "int8", lineage=Lineage(Artefact("other.pth", "7" * 64)))]
    found, _ = find_candidates(paths)
    assert differing_origins(found[:1]) is None
    said = differing_origins(found)
    assert said is not None
    assert "tiny.safetensors (11111111), other.pth (77777777)" in said

"""Arguments that several verbs have: the same words about the same mistakes, whichever verb it is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from googlenet_edge.cli.arguments import check_outside, path_argument, whole_number
from googlenet_edge.cli.main import main
from googlenet_edge.errors import UsageError


def exit_code(arguments: Sequence[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as ended:  # argparse
        return int(ended.code or 0)


def test_whole_numbers_have_bounds() -> None:
    parse = whole_number(1, 8)
    assert [parse("1"), parse(" 8 ")] == [1, 8]
    for text in ("0", "9", "-1", "1.5", "", "x", "9" * 30, "9" * 5000):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 1 to 8"):
            parse(text)


def test_an_empty_path_is_not_the_current_folder() -> None:
    assert path_argument("a") == Path("a")
    with pytest.raises(argparse.ArgumentTypeError, match="got '', expected a path"):
        path_argument("")


def test_a_place_inside_the_bundle_is_found_through_links(tmp_path: Path) -> None:
    bundle, link, file = tmp_path / "bundle", tmp_path / "link", tmp_path / "file"
    bundle.mkdir()
    link.symlink_to("bundle")
    file.symlink_to("bundle/new")
    for place in (bundle, bundle / "x", bundle / "no" / "x", link, link / "x", file, tmp_path / "no" / ".." / "bundle"):
        for folder in (bundle, link):
            with pytest.raises(UsageError, match=r"--json: got .* inside the bundle; expected a place outside of it"):
                check_outside(folder, {"--html": None, "--json": place})
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    check_outside(bundle, {"--json": tmp_path, "--html": tmp_path / "bundle.json", "--cache": loop})


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "{}", "--layers", "--json", "{}/x"],
        ["bench", "{}", "--layers", "--cache", "{}"],
        ["eval", "{}", "demo:test", "--json", "{}/x"],
        ["eval", "{}", "demo:test", "--cache", "{}/engines"],
        ["run", "{}", "demo:", "--report", "{}/x.json"],
        ["run", "{}", "demo:", "--video", "{}/x.mp4"],
        ["run", "{}", "demo:", "--jsonl", "{}/x.jsonl"],
        ["run", "{}", "demo:", "--cache", "{}"],
        ["build", "{}", "--output", "{}/x.plan"],
        ["build", "{}", "--cache", "{}"],
        ["build", "{}", "--timing-cache", "{}/timings"],
        ["layers", "{}", "--json", "{}/x.json"],
        ["layers", "{}", "--html", "{}"],
    ],
)
def test_nothing_is_written_into_a_bundle(
    arguments: list[str], tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tiny_bundle.rglob("*"))
    assert exit_code([argument.format(tiny_bundle) for argument in arguments]) == 2
    assert f"{arguments[-2]}: got {arguments[-1].format(tiny_bundle)}, which is inside the bundle" in (
        capsys.readouterr().err
    )
    assert sorted(tiny_bundle.rglob("*")) == before


def test_samples_are_not_written_into_a_bundle(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They go beside the report, which may be a link's name outside."""
    place = tiny_bundle.with_name("report-samples.csv")
    place.symlink_to(tiny_bundle / "samples.csv")
    report = str(tiny_bundle.with_name("report.json"))
    assert main(["run", str(tiny_bundle), "demo:", "--report", report, "--samples"]) == 2
    assert f"--samples: got {place}, which is inside the bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["bench", "", "--layers"], "BUNDLE"),
        (["bench", "b", "--layers", "--json", ""], "--json"),
        (["bench", "b", "--layers", "--cache", ""], "--cache"),
        (["eval", "", "demo:test"], "BUNDLE"),
        (["eval", "b", "demo:test", "--json", ""], "--json"),
        (["run", "", "demo:"], "BUNDLE"),
        (["run", "b", "demo:", "--report", ""], "--report"),
        (["run", "b", "demo:", "--video", ""], "--video"),
        (["run", "b", "demo:", "--jsonl", ""], "--jsonl"),
        (["build", ""], "BUNDLE"),
        (["build", "b", "-o", ""], "-o/--output"),
        (["build", "b", "--cache", ""], "--cache"),
        (["build", "b", "--timing-cache", ""], "--timing-cache"),
        (["layers", ""], "BUNDLE"),
        (["layers", "b", "--html", ""], "--html"),
        (["layers", "b", "--layer-info", ""], "--layer-info"),
    ],
)
def test_an_empty_name_is_wrong_usage(arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(arguments) == 2
    assert f"argument {name}: got '', expected a path" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["bench", "b", "--layers"], ["eval", "b", "demo:test"], ["run", "b", "demo:"]])
@pytest.mark.parametrize("value", ["0", "100000", "9" * 20])
def test_a_number_of_threads_that_no_machine_has(
    verb: list[str], value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code([*verb, "--threads", value]) == 2
    assert f"argument --threads: got '{value}', expected a whole number from 1 to 1024" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", [["bench", "b", "--layers"], ["eval", "b", "demo:test"], ["run", "b", "demo:"], ["build", "b"]]
)
@pytest.mark.parametrize("value", ["-1", "9" * 20])
def test_a_device_that_no_machine_has(verb: list[str], value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([*verb, "--device", value]) == 2
    assert f"argument --device: got '{value}', expected a whole number from 0" in capsys.readouterr().err


def test_a_bundle_whose_name_is_not_utf_8_serves_like_any_other(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle.rename(tiny_bundle.with_name(os.fsdecode(b"caf\xe9")))
    arguments = ["--layers", "--backend", "onnxruntime", "--threads", "1", "--iterations", "2", "--warmup", "0"]
    assert main(["bench", str(bundle), *arguments]) == 0
    assert "median of 2 inferences" in capsys.readouterr().out

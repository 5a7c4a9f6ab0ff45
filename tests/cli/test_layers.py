"""``googlenet-edge layers``, from arguments to what it prints and writes; engines come from the real TensorRT-RTX."""

from __future__ import annotations

import argparse
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from googlenet_edge.bundle import BundleFacts, GoldenFrames
from googlenet_edge.bundle.writer import write_bundle
from googlenet_edge.cli import layers
from googlenet_edge.cli.main import main
from googlenet_edge.errors import BundleError, OutputError, UsageError

needs_rtx = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="needs TensorRT-RTX: pip install '.[rtx]'")


def run(*argv: str | Path) -> int:
    parser = argparse.ArgumentParser()
    layers.configure(parser)
    return layers.run(parser.parse_args([str(each) for each in argv]))


@needs_rtx
def test_two_bundles_of_one_name_are_told_apart_by_their_places(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(tiny_bundle, tmp_path / "other")
    assert run(tiny_bundle, "--target", "sm86", "--against", other) == 0
    said = "".join(capsys.readouterr().out.split())
    assert f"tinyin{tiny_bundle}" in said
    assert f"tinyin{other}" in said
    with pytest.raises(UsageError, match=r"--against: got .*, the same bundle"):
        run(tiny_bundle, "--target", "sm86", "--against", tiny_bundle)


@needs_rtx
def test_the_layers_of_a_bundle_are_printed_and_written(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, document = tmp_path / "page.html", tmp_path / "layers.json"
    assert run(tiny_bundle, "--target", "rtx40", "--precision", "fp32", "--html", page, "--json", document) == 0
    printed = capsys.readouterr().out
    assert "tiny, fp32, TensorRT-RTX 1." in printed
    assert "convolutions: 1 of 1 found; 1 compute in Float" in printed
    assert "Rows of Table 1" in printed
    assert "What the layers do" in printed
    assert "All layers" not in printed
    assert "note:" not in printed
    (engine,) = json.loads(document.read_text(encoding="utf-8"))["engines"]
    assert engine["targets"] == ["8.9"]
    assert engine["batches"] == {"min": 1, "opt": 1, "max": 8}
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.json", "page.html", "tiny_bundle"]


@needs_rtx
def test_without_a_gpu_the_target_that_was_chosen_is_said(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from googlenet_edge.errors import DeviceError
    from googlenet_edge.runtime import trt_device

    def none() -> None:
        raise DeviceError("no GPU")

    monkeypatch.setattr(trt_device, "find_device", none)
    assert run(tiny_bundle, "--flavour", "tensorrt-rtx", "--all", "--opt-batch", "16") == 0
    printed = capsys.readouterr().out
    assert "note: no GPU of this machine can be built for: built for sm86 (TensorRT-RTX 1." in printed
    assert "for 8.6\n" in printed
    assert "All layers" in printed
    assert "conv1/Conv" in printed


@needs_rtx
def test_two_bundles_stand_side_by_side(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    assert run(tiny_bundle, "--against", other, "--target", "sm86") == 0
    printed = capsys.readouterr().out
    assert "side by side: tiny in " in printed
    assert printed.count("What the layers do") == 2


@needs_rtx
def test_a_build_that_fails_ends_in_one_message(
    tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bundle(tmp_path / "bundle", tiny_facts, graph=b"no graph", golden=tiny_golden, tolerance=1e-4)
    assert main(["layers", str(tmp_path / "bundle"), "--target", "sm86", "--html", str(tmp_path / "page.html")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "refuses the graph" in error
    assert "Traceback" not in error
    assert not (tmp_path / "page.html").exists()


def test_layers_from_a_device_need_no_tensorrt(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "layers.json"
    half = {"Name": "x\x1b[2J", "Dimensions": [1, 3, 224, 224], "Format/Datatype": "Row major linear FP16"}
    layer = {"Name": "conv1/Conv", "LayerType": "[red]", "Inputs": [half], "Outputs": [half]}
    path.write_text(json.dumps({"Layers": [layer], "Bindings": ["x"]}), encoding="utf-8")
    assert run(tiny_bundle, "--layer-info", path, "--all") == 0
    printed = capsys.readouterr().out
    assert "an engine from elsewhere (layers.json)" in printed
    assert "1 compute in Half" in printed
    assert "[red]" in printed
    assert "\x1b" not in printed
    assert "1 Gemm: no layer names it (fc/Gemm)" in printed


def test_what_does_not_fit_together_is_a_usage_error(tiny_bundle: Path, tmp_path: Path) -> None:
    for argv, message in (
        (["--precision", "int8"], r"--precision: got int8, but .* of precision fp32; make one with"),
        (["--opt-batch", "0"], r"--opt-batch: got 0, expected 1 or more"),
        (["--layer-info", "x", "--target", "sm86"], r"--layer-info: nothing is built: leave out"),
        (["--json", tmp_path / "a", "--html", tmp_path / "a"], r"for both, expected two files"),
        (["--json", tiny_bundle / "layers.json"], r"inside the bundle; expected a place outside"),
        (["--target", "gtx1080"], r"target: got 'gtx1080'.* expected one of sm75"),
    ):
        with pytest.raises(UsageError, match=message):
            run(tiny_bundle, *argv)


def test_bad_files_are_found_before_anything_is_built(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nothing there"):
        run(tmp_path / "none")
    with pytest.raises(BundleError, match="nothing there"):
        run(tiny_bundle, "--against", tmp_path / "none")
    with pytest.raises(OutputError, match=r"layers as JSON .* cannot be written"):
        run(tiny_bundle, "--json", tmp_path / "none" / "layers.json")
    with pytest.raises(OutputError, match=r"page of layers .* cannot be written"):
        run(tiny_bundle, "--html", tmp_path)

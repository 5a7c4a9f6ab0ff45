from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import CalibrationError, GraphError, InputError, OutputError
from googlenet_edge.quantization.calibrate import CalibrationOptions, calibrate
from googlenet_edge.quantization.histogram import BINS
from googlenet_edge.quantization.images import CalibrationImages, ImageOptions, collect_images
from googlenet_edge.quantization.observation import Observation, Sidecar
from googlenet_edge.quantization.observe import ObserveOptions, observe
from googlenet_edge.quantization.table_file import encode_table, read_table
from googlenet_edge.types import CropRule

Tensors = tuple[str, ...]


def run_all(graph: onnx.ModelProto, images: CalibrationImages, tensors: Tensors) -> list[npt.NDArray[np.float32]]:
    """Every tensor over all images at once, as ONNX Runtime computes it without optimisations."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in tensors if name != "logits"
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(list(tensors), {"image": images.read(0, len(images))}))


def test_every_value_is_seen_once(
    small_graph: onnx.ModelProto, small_images: CalibrationImages, small_tensors: Tensors
) -> None:
    observed = observe(small_graph, small_images, small_tensors)
    for found, expected in zip(observed, run_all(small_graph, small_images, small_tensors), strict=True):
        channels = expected.shape[1]
        by_channel = np.moveaxis(expected.astype(np.float64), 1, 0).reshape(channels, -1)
        assert found.histogram.total == expected.size
        assert found.histogram.amax == pytest.approx(float(np.abs(expected).max()), rel=1e-5)
        np.testing.assert_allclose(found.channel_mean, by_channel.mean(axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.channel_amax, np.abs(by_channel).max(axis=1), rtol=1e-5)
        width = found.histogram.bin_width
        counts = np.bincount((np.abs(expected[expected != 0]) / width).astype(int), minlength=BINS)
        # A value at the edge of a bin may fall to the other side: the optimised graph rounds differently.
        assert np.abs(np.cumsum(counts) - np.cumsum(found.histogram.counts)).max() <= expected.size // 100


def test_threads_and_savings_do_not_change_a_bit(
    small_graph: onnx.ModelProto, small_images: CalibrationImages, small_tensors: Tensors, tmp_path: Path
) -> None:
    found = []
    for threads, every in ((1, 100), (3, 1), (2, 4)):
        options = CalibrationOptions(threads=threads, save_every=every)
        found.append(calibrate(small_graph, small_images, small_tensors, options=options).table.tensors)
    assert found[0] == found[1] == found[2]


class _Interrupted(Exception):  # noqa: N818 - not an error
    pass


@pytest.mark.parametrize("stop_at", [1, 4, 5, 9])
def test_an_interrupted_run_goes_on_to_the_same_table(
    small_graph: onnx.ModelProto,
    small_images: CalibrationImages,
    small_tensors: Tensors,
    tmp_path: Path,
    stop_at: int,
) -> None:
    path = tmp_path / "table.json"
    options = CalibrationOptions(threads=2, save_every=4)

    def stop(done: int, _: int) -> None:
        if done == stop_at:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        calibrate(small_graph, small_images, small_tensors, path=path, options=options, progress=stop)
    assert not path.exists()
    unfinished = tmp_path / "table.json.unfinished"
    assert unfinished.exists() == (stop_at > 4)
    began_at: list[int] = []
    again = calibrate(
        small_graph, small_images, small_tensors, path=path, options=options, progress=lambda n, _: began_at.append(n)
    )
    assert began_at[0] == stop_at - stop_at % 4 - (4 if stop_at == 4 else 0)
    assert not unfinished.exists()
    assert read_table(path) == again.table
    straight = calibrate(small_graph, small_images, small_tensors)
    assert again.table.tensors == straight.table.tensors


def test_an_unfinished_run_of_another_graph_or_a_damaged_one_starts_over(
    small_graph: onnx.ModelProto, small_images: CalibrationImages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state"
    observed = observe(small_graph, small_images, ["pool1", "logits"])
    sidecar = Sidecar(path, {"model": "a"})
    sidecar.save(10, observed)
    assert sidecar.load(["pool1", "logits"])[0] == 10
    for other in (Sidecar(path, {"model": "b"}), Sidecar(path, {"model": "a", "more": 1})):
        assert other.load(["pool1", "logits"])[0] == 0
    assert "starting over" in caplog.text
    content = path.read_bytes()
    for damaged in (b"", b"PK", content[:100], content[: len(content) // 2], b"\x93NUMPY", b"x" * 5000):
        path.write_bytes(damaged)
        position, fresh = sidecar.load(["pool1", "logits"])
        assert position == 0
        assert [entry.histogram.total for entry in fresh] == [0, 0]
    path.write_bytes(content)
    assert sidecar.load(["pool1"])[0] == 0  # of two tensors, not of one


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=6, max_size=6), min_size=1, max_size=5))
def test_a_saved_state_comes_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]) -> None:
    observation = Observation("t")
    for row in rows:
        values = np.array(row, np.float32).reshape(3, 2)
        observation.histogram.add(values)
        observation.add_channels(values.sum(axis=1, dtype=np.float64), np.abs(values).max(axis=1))
    sidecar = Sidecar(tmp_path_factory.mktemp("state") / "s", {"a": 1})
    sidecar.save(len(rows), [observation])
    position, (back,) = sidecar.load(["t"])
    assert position == len(rows)
    assert back.histogram.counts.tolist() == observation.histogram.counts.tolist()
    assert (back.histogram.exponent, back.histogram.zeros, back.histogram.amax) == (
        observation.histogram.exponent, observation.histogram.zeros, observation.histogram.amax,
    )  # fmt: skip
    assert back.channel_sum.tolist() == observation.channel_sum.tolist()
    assert back.channel_amax.tolist() == observation.channel_amax.tolist()
    assert back.maxima.count == len(rows)
    assert back.maxima.expected().tolist() == observation.maxima.expected().tolist()


def test_a_state_that_cannot_be_kept_costs_nothing_but_a_warning(
    small_graph: onnx.ModelProto, small_images: CalibrationImages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sidecar = Sidecar(tmp_path / "no folder" / "state", {})
    options = ObserveOptions(save_every=4)
    assert observe(small_graph, small_images, ["pool1"], options=options, sidecar=sidecar)[0].histogram.total > 0
    assert "start over" in caplog.text


@pytest.mark.parametrize("threads", [1, 2])
def test_an_infinite_activation_names_tensor_and_image(
    poisoned_graph: onnx.ModelProto,
    make_images: Callable[..., Path],
    tmp_path: Path,
    small_rule: CropRule,
    threads: int,
) -> None:
    folder = make_images(tmp_path / "images", 5)
    cv2.imwrite(str(folder / "image5 white.png"), np.full((40, 40, 3), 255, np.uint8))
    cv2.imwrite(str(folder / "image6 white.png"), np.full((40, 40, 3), 255, np.uint8))
    tensors = ["input.add", "pool1", "logits"]
    with collect_images(folder, small_rule, ImageOptions(count=2)) as images:
        observe(poisoned_graph, images, tensors)  # the first and the fourth: no white one
    with collect_images(folder, small_rule) as images:
        with pytest.raises(GraphError, match=r"tensor 'pool1', image '.*image5 white.png': .*(inf|nan).*weights"):
            observe(poisoned_graph, images, tensors, options=ObserveOptions(threads=threads))
        only_white = tmp_path / "white"
        only_white.mkdir()
    for index in range(6):
        cv2.imwrite(str(only_white / f"{index}.png"), np.full((40, 40, 3), 255, np.uint8))
    with collect_images(only_white, small_rule) as images, pytest.raises(GraphError, match=r"0\.png"):
        observe(poisoned_graph, images, tensors, options=ObserveOptions(threads=threads))


def test_wrong_tensors_and_graphs_are_refused(small_graph: onnx.ModelProto, small_images: CalibrationImages) -> None:
    with pytest.raises(GraphError, match="'nowhere': the graph does not make it"):
        observe(small_graph, small_images, ["pool1", "nowhere"])
    with pytest.raises(GraphError, match="'image'"):
        observe(small_graph, small_images, ["image"])
    for tensors in ([], ["pool1", "pool1"]):
        with pytest.raises(InputError, match="each once"):
            observe(small_graph, small_images, tensors)
    other = onnx.ModelProto()
    other.CopyFrom(small_graph)
    other.graph.node[0].input[0] = other.graph.input[0].name = "pixels"
    with pytest.raises(GraphError, match=r"\['pixels'\]"):
        observe(other, small_images, ["pool1"])
    for options in ({"threads": 0}, {"save_every": 0}):
        with pytest.raises(InputError):
            ObserveOptions(**options)


def test_crops_of_the_wrong_size_are_refused(
    small_graph: onnx.ModelProto, make_images: Callable[..., Path], tmp_path: Path
) -> None:
    with (
        collect_images(make_images(tmp_path, 1), CropRule()) as images,
        pytest.raises(InputError, match=r"crops of \(224, 224, 3\), the graph takes \(32, 32, 3\)"),
    ):
        observe(small_graph, images, ["pool1"])


def test_a_table_is_reused_only_where_all_is_the_same(
    small_graph: onnx.ModelProto,
    poisoned_graph: onnx.ModelProto,
    small_images: CalibrationImages,
    small_tensors: Tensors,
    make_images: Callable[..., Path],
    tmp_path: Path,
    small_rule: CropRule,
) -> None:
    path = tmp_path / "table.json"
    first = calibrate(small_graph, small_images, small_tensors, path=path)
    assert (first.reused, first.reason) == (False, "there is no earlier table")
    second = calibrate(small_graph, small_images, small_tensors, path=path)
    assert second.reused
    assert second.table == first.table
    assert calibrate(small_graph, small_images, small_tensors[:2], path=path).reused  # it has more than is asked for
    fresh = calibrate(small_graph, small_images, small_tensors, path=path, options=CalibrationOptions(fresh=True))
    assert not fresh.reused
    changed = calibrate(poisoned_graph, small_images, small_tensors, path=path)
    assert not changed.reused
    assert first.table.model_sha256 in changed.reason
    assert changed.table.model_sha256 in changed.reason
    with collect_images(make_images(tmp_path / "other", 3, seed=5), small_rule) as others:
        other = calibrate(poisoned_graph, others, small_tensors, path=path)
    assert "other images" in other.reason
    more = calibrate(poisoned_graph, small_images, [*small_tensors, "relu1"], path=path)
    assert not more.reused


def test_what_is_no_table_is_not_overwritten(
    small_graph: onnx.ModelProto, small_images: CalibrationImages, tmp_path: Path
) -> None:
    for content in (b"my diary", b"\xff\xd8\xff", b'{"schema_version": 1}', b"[1, 2]"):
        path = tmp_path / "mine"
        path.write_bytes(content)
        with pytest.raises(CalibrationError, match="not overwritten"):
            calibrate(small_graph, small_images, ["pool1"], path=path)
        assert path.read_bytes() == content
    half = encode_table(calibrate(small_graph, small_images, ["pool1"]).table)
    path.write_bytes(half[: len(half) // 2])  # one of ours, cut short
    assert not calibrate(small_graph, small_images, ["pool1"], path=path).reused
    assert read_table(path).names == ("pool1",)
    with pytest.raises(OutputError):
        calibrate(small_graph, small_images, ["pool1"], path=tmp_path / "no" / "table.json")

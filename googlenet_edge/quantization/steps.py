"""The steps from a float32 graph and its calibration table to INT8, in their order, each measured on held-out images.

What is held out are thresholds (see ``halves.py``): equalization and rounding go by all images, and in the end the
thresholds of the chosen methods are those of all images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.errors import GraphError, InputError, UsageError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.half_check import round_scale_to_half
from googlenet_edge.graph.rows import node_rows
from googlenet_edge.graph.verify import sqnr_db
from googlenet_edge.quantization.bias import corrected_biases
from googlenet_edge.quantization.calibrate import tensor_range
from googlenet_edge.quantization.choose import Choice, choose_methods, scale_of
from googlenet_edge.quantization.config import Progress, QuantizeConfig
from googlenet_edge.quantization.ends import EndLayer, stays_in_float
from googlenet_edge.quantization.equalize import equalize
from googlenet_edge.quantization.gptq import input_moments, round_by_moments
from googlenet_edge.quantization.halves import Halves
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.observe import observe
from googlenet_edge.quantization.placement import ScaleGroup, place, quantizable_nodes, scale_groups, weight_of
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.quantization.table import CalibrationTable, TensorRange
from googlenet_edge.quantization.threshold import Method
from googlenet_edge.quantization.weights import QuantizedWeight, WeightMethod, quantize_weight

__all__ = ["Steps"]

_NO_HALF = (
    "FP16 cannot hold it: take FP32 for what is not INT8 (half_scales=False; --high-precision fp32), or scale the "
    "weights before it down"
)

_START: Method = "expected-max"
"""The method of every tensor until one is chosen."""


class Steps:
    """What is known after each step; they are to be called in the order in which they stand here."""

    def __init__(
        self,
        model: onnx.ModelProto,
        images: CalibrationImages,
        table: CalibrationTable,
        config: QuantizeConfig,
        report: Progress,
    ) -> None:
        self._images, self._table, self._config, self._report = images, table, config, report
        self._rounding: Callable[[float], float] = round_scale_to_half if config.half_scales else float
        able = quantizable_nodes(model)
        self._nodes = tuple(name for name in able if name not in config.keep)
        # Until they are measured: the first layer in INT8, the last one not.
        self._first, self._last = able[0], able[-1]
        self._floating = {self._last} if config.last != "int8" and len(self._nodes) > 1 else set()
        if config.first == "float":
            self._floating.add(self._first)
        if not set(self._nodes) - self._floating:
            raise UsageError(
                f"layers: got {len(able)}, all of them to stay in floating point, expected at least one for INT8; keep "
                "fewer, or take FP16"
            )
        self._halves = Halves(images)
        self._crops = self._halves.judging(config.choice_images)
        self.base = model
        self._macs = {row.node: row.macs for row in node_rows(model)}
        self._reference = SimulatedNetwork(model).logits(self._crops)
        self._groups = scale_groups(model)
        self._methods: dict[str, Method] = {g.tensor: config.method or _START for g in self._groups}
        self._half_ranges: Mapping[str, TensorRange] = {}
        self.ranges: Mapping[str, TensorRange] = {}
        """Of the equalized graph, from all images, by tensor."""
        self._all_weights: dict[str, QuantizedWeight] = {}
        self.biases: dict[str, npt.NDArray[np.float32]] = {}
        self.choices: tuple[Choice, ...] = ()
        self.ends: tuple[EndLayer, ...] = ()
        self.sqnr_db: dict[str, float] = {}

    @property
    def weights(self) -> dict[str, QuantizedWeight]:
        """Of the layers that are in INT8 now."""
        return {name: self._all_weights[name] for name in self._nodes if name not in self._floating}

    def equalize(self) -> None:
        """Make channels alike, and see what ranges that gives: in half of the images, and in all."""
        tensors = [group.tensor for group in self._groups]
        expected = {tensor: self._table[tensor].channel_expected for tensor in tensors}
        self.base = equalize(self.base, expected, self._config.equalization)
        total = len(self._images)

        def progress(done: int, _: int) -> None:
            self._report("equalization", done, total)

        seen = observe(self.base, self._images, tensors, chosen=self._halves.seen, progress=progress)
        self._half_ranges = {found.tensor: tensor_range(found) for found in seen}
        if self._halves.apart:
            rest = observe(
                self.base, self._images, tensors, chosen=self._halves.held_out,
                progress=lambda done, _: progress(len(self._halves.seen) + done, 0),
            )  # fmt: skip
            for found, other in zip(seen, rest, strict=True):
                found.merge(other)
        self.ranges = {found.tensor: tensor_range(found) for found in seen}

    def quantize_weights(self) -> None:
        """Find scales, and round with them."""
        self._all_weights = self._scaled("max")
        self._measure("weight scales by max", self._half_ranges)
        if self._config.weight_method != "max":
            self._all_weights = self._scaled(self._config.weight_method)
            self._measure(f"weight scales by {self._config.weight_method}", self._half_ranges)
        if self._config.rounding == "gptq":
            crops = self._halves.spread(self._halves.everything, self._config.moment_images)
            moments = input_moments(
                self.base, self._nodes, crops, progress=lambda done, total: self._report("moments", done, total)
            )
            nearest = dict(self._all_weights)
            for index, (name, weight) in enumerate(self._float_weights()):
                if name in moments:
                    self._all_weights[name] = round_by_moments(weight, self._all_weights[name], moments.pop(name))
                self._report("rounding", index + 1, len(self._nodes))
            before = self.sqnr_db[f"weight scales by {self._config.weight_method}"]
            self._measure("weights rounded by gptq", self._half_ranges)
            if self.sqnr_db["weights rounded by gptq"] < before:
                # A handful of images does not settle how the inputs depend on each other.
                self._all_weights = nearest
                self.sqnr_db["weights rounded to nearest"] = before

    def choose(self) -> None:
        """Choose a method for every tensor that has a pair."""
        groups = self._groups_in_int8()
        if self._config.method is None:
            chosen = choose_methods(
                SimulatedNetwork(self.placed(self._half_ranges)), self._half_ranges, groups, self._crops,
                self._reference, rounding=self._rounding,
                progress=lambda done, total: self._report("choice", done, total),
            )  # fmt: skip
            self._methods.update({choice.tensor: choice.method for choice in chosen})
            self._measure("thresholds chosen", self._half_ranges)
        else:
            chosen = tuple(Choice(group.tensor, self._config.method, 0.0, 0.0) for group in groups)
        self.choices = tuple(
            Choice(c.tensor, c.method, self.ranges[c.tensor].thresholds[c.method], c.gain) for c in chosen
        )
        self._measure("thresholds of all images", self.ranges)

    def correct_biases(self) -> None:
        """Bring the layers' means back."""
        if not self._config.bias_correction or not self.weights:
            return
        crops = self._halves.spread(self._halves.seen, self._config.bias_images)
        nodes = tuple(self.weights)
        placed = self.placed()
        exact = SimulatedNetwork(self.base, means_of=nodes).channel_means(crops)
        self.biases = corrected_biases(
            SimulatedNetwork(placed, means_of=nodes), exact, placed, crops,
            progress=lambda done, total: self._report("bias", done, total),
        )  # fmt: skip
        before = self.sqnr_db["thresholds of all images"]
        self._measure("biases corrected", self.ranges)
        if self.sqnr_db["biases corrected"] < before:
            # Few images, or rare values that clip in some of them: what is right for their mean is wrong for others.
            self.biases = {}
            self.sqnr_db["biases as they were"] = before

    def decide_ends(self) -> None:
        """Measure what the first and the last layer cost in INT8, and decide."""
        total = max(1, sum(self._macs.values()))
        for name, rule in ((self._first, self._config.first), (self._last, self._config.last)):
            if rule != "measure" or name not in self._nodes or self._first == self._last:
                continue
            floating = self._floating - {name}
            percent = 100 * self._macs[name] / total
            self._floating = floating
            in_int8 = self._quality()
            self._floating = floating | {name}
            if not self.weights:
                # Nothing else is in INT8.
                self._floating = floating
                continue
            in_float = self._quality()
            if not stays_in_float(in_int8, in_float, percent):
                self._floating = floating
            self.ends += (EndLayer(name, percent, in_int8, in_float, name not in self._floating),)
        # A tensor's pair goes, or comes, with the layer that reads it. One that comes only now, for the last layer, has
        # the method that all began with: it is the input of a layer whose output is the result, with nothing behind it.
        known = {choice.tensor: choice for choice in self.choices}
        self.choices = tuple(
            known.get(g.tensor)
            or Choice(g.tensor, self._methods[g.tensor], self._threshold(self.ranges, g.tensor), 0.0)
            for g in self._groups_in_int8()
        )
        self.biases = {name: bias for name, bias in self.biases.items() if name not in self._floating}
        if self.ends:
            self._measure("first and last layer decided", self.ranges)

    def placed(self, ranges: Mapping[str, TensorRange] | None = None) -> onnx.ModelProto:
        """Return the graph with pairs, as it is now, with thresholds of all images or of ``ranges``."""
        scales = {g.tensor: self._scale(g.tensor, ranges or self.ranges) for g in self._groups}
        return place(self.base, scales, self.weights, biases=self.biases)

    def _scale(self, tensor: str, ranges: Mapping[str, TensorRange]) -> float:
        try:
            return scale_of(self._threshold(ranges, tensor), self._rounding)
        except InputError as error:
            raise GraphError(f"tensor {tensor!r}: {error}; {_NO_HALF}") from error

    def _threshold(self, ranges: Mapping[str, TensorRange], tensor: str) -> float:
        return ranges[tensor].thresholds[self._methods[tensor]]

    def _quality(self, ranges: Mapping[str, TensorRange] | None = None) -> float:
        return sqnr_db(self._reference, SimulatedNetwork(self.placed(ranges)).logits(self._crops))

    def _measure(self, step: str, ranges: Mapping[str, TensorRange]) -> None:
        if self.weights:
            self.sqnr_db[step] = self._quality(ranges)

    def _groups_in_int8(self) -> tuple[ScaleGroup, ...]:
        inside = set(self.weights)
        return tuple(group for group in self._groups if inside.intersection(group.readers))

    def _float_weights(self) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        editor = GraphEditor(self.base)
        by_name = {node.name: node for node in editor.nodes}
        return ((name, weight_of(editor, by_name[name])) for name in self._nodes)

    def _scaled(self, method: WeightMethod) -> dict[str, QuantizedWeight]:
        dtype = np.float16 if self._config.half_scales else np.float32
        found = {}
        for index, (name, weight) in enumerate(self._float_weights()):
            try:
                found[name] = quantize_weight(weight, method=method, scale_dtype=dtype)
            except InputError as error:
                raise GraphError(f"weights of node {name!r}: {error}; {_NO_HALF}") from error
            self._report("weights", index + 1, len(self._nodes))
        return found

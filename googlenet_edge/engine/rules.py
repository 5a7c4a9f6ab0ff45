"""Which rule of ours a graph breaks, told from what TensorRT says of it.

The bundles that ``googlenet-edge deploy`` makes keep these rules; a graph from elsewhere may not. The patterns are of
TensorRT-RTX 1.7.1, whose parser and checks are those of TensorRT.
"""

from __future__ import annotations

import re

__all__ = ["broken_rule"]

RULES = (
    (r"[Aa]ntialias", "Resize has antialias=0: TensorRT has none; crop and resize are done before the graph"),
    (
        r"inherently negative length|Resize.*axes",
        "with a free batch, Resize gets the sizes of all four axes, as Concat(Shape[0:1], constant)",
    ),
    (
        r"input has type Int32 but must have type",
        "a bias stays in floating point: TensorRT refuses a DequantizeLinear of int32",
    ),
    (
        r"[Ss]cale coefficients must all be positive|scale.*(non-?positive|is zero|not positive)",
        "every scale is a finite number above 0 (amax / 127): calibrate again where one is 0 or not a number",
    ),
    (
        r"[Nn]on-zero zero point|shiftIsAllZeros|zero.?point.*must be (all )?zero",
        "quantization is symmetric: every zero point is 0",
    ),
    (
        r"number of scales is not equal|scaleSize",
        "weights have one scale for each output channel: DequantizeLinear along axis 0",
    ),
    (
        r"[Mm]issing scale and zero.?point",
        "every tensor that is read in INT8 has a QuantizeLinear -> DequantizeLinear pair",
    ),
    (
        r"FP32 GEMM is not supported",
        "TensorRT-RTX has no FP32 matrix product for Turing (7.5): build an fp16 bundle for it, or leave it out",
    ),
    (
        r"must have (the )?same (input )?types?|of types (Half and Float|Float and Half)",
        "a strongly typed network computes each operation in one type: Cast stands wherever FP16 and FP32 meet",
    ),
    (
        r"reshape would change volume",
        "the batch stays free: Reshape has -1 or 0 in its place, never a number",
    ),
    (r"Plugin not found", "all operators are ONNX's own: this one is of no standard set"),
    (r"Failed to parse the ONNX model", "the file is a whole ONNX model: this one is cut short or something else"),
)


def broken_rule(message: str) -> str | None:
    """Return the rule of ours that a message of TensorRT's is about; None if none is known to be."""
    return next((rule for pattern, rule in RULES if re.search(pattern, message)), None)

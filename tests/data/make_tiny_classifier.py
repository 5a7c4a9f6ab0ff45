"""Makes tiny_classifier.onnx: five colours told apart by the mean of the frame. Needs the onnx package.

Run from the repository root: ``python tests/data/make_tiny_classifier.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The mean colour (blue, green, red, 0 to 1) that each class stands for, in the order of tiny_classifier.txt.
PROTOTYPES = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]], dtype=np.float32)
SHARPNESS = 10.0


def tiny_classifier(size_px: int = 224) -> onnx.ModelProto:
    """Return the graph: uint8 (N, size, size, 3) BGR in, ``logits`` and ``probabilities`` float32 (N, 5) out.

    The class nearest to the mean colour c wins: of -|c - p|^2 only 2 c p - |p|^2 depends on the class, which is linear
    in c, so a 3x3 averaging convolution, a global average pool and a Gemm say it exactly (but for the frame's border,
    which the convolution does not centre on).
    """
    box = np.zeros((3, 3, 3, 3), dtype=np.float32)
    for channel in range(3):
        box[channel, channel] = 1 / (9 * 255)
    weight = 2 * SHARPNESS * PROTOTYPES
    bias = -SHARPNESS * (PROTOTYPES**2).sum(axis=1)
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], name="head/Cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], name="head/Transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "box"], ["smooth"], name="conv1/Conv", strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["smooth"], ["mean"], name="fc/GlobalAveragePool"),
        helper.make_node("Flatten", ["mean"], ["color"], name="fc/Flatten"),
        helper.make_node("Gemm", ["color", "weight", "bias"], ["logits"], name="fc/Gemm", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="output/Softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny_classifier",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", size_px, size_px, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", len(PROTOTYPES)])
            for name in ("logits", "probabilities")
        ],
        [
            numpy_helper.from_array(box, "box"),
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    onnx.save(tiny_classifier(), Path(__file__).with_name("tiny_classifier.onnx"))

"""Graphs: a network to a deployable ONNX file, simplified, and proved against the step before (host side).

``export`` writes a network with the uint8 ``head`` and the softmax tail; ``foreign`` makes the same of an ONNX
classifier from elsewhere; ``simplify`` (with ``passes`` and ``affine``) folds what can be folded; ``verify`` compares
two steps on real frames; ``rows`` says what each node belongs to and costs.
"""

"""The parts of tools/compare_quantizers.py: one script per peer, and what measures and judges their results.

``child`` and the peers' scripts (``ort_static``, ``modelopt_onnx``, ``nncf_onnx``, ``ours``, ``rtx_build``) run in other
environments and processes, as ``python -m quantizers.NAME JOB.json`` with ``tools`` on the path: they may import the
standard library, numpy, each other and the peer, and nothing else at their top level.
"""

"""The parts of tools/compare_quantizers.py: one script per peer, and what measures and judges their results.

``child`` and the scripts ``ort_static``, ``modelopt_onnx``, ``nncf_onnx``, ``ours`` and ``rtx_build`` run in processes
of their own, most of them in other environments, as ``python -m quantizers.NAME JOB.json`` with ``tools`` on the path.
So they import only ``child``, numpy, the standard library, and, by its name, the tool that they run.
"""

"""TensorRT engines: found, built, stored, looked into. Needs TensorRT or TensorRT-RTX, and no GPU but for ``tensorrt``.

Nothing is imported here: ``engine.build`` and ``engine.store`` are the ways in.
"""

# Only the part of pycuda that we use, by hand, from pycuda 2026.1. tests/engine/test_typing.py holds it against the real one.

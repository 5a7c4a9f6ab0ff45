"""What tools/bench_loop.py is made of: the clip, the stand-in for a GPU, the sides that are compared, the figures."""

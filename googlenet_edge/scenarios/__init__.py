"""Benchmark scenarios: the same frames through the same classifier, asked in the ways in which it will be used.

- ``queries``: single-stream and multi-stream, one query after the other, as MLPerf Inference defines them.
- ``camera``: frames arrive at a fixed rate, whether or not the machine keeps up; ``sustained`` finds the highest rate.
- ``offline``: throughput over batch sizes.

All of them take a :class:`~googlenet_edge.scenarios.rig.Rig`: what works (``work``), a clock and a way to wait. With a
made-up clock, a scenario is exact: its figures follow from how long the work takes, and from nothing else.
"""

"""Latency of a run: time points, durations and statistics, kept apart.

A time point is a field of :class:`~googlenet_edge.types.FrameTrace`; a duration is the difference of two of them, named
by a :class:`~googlenet_edge.latency.stages.Stage`; a statistic summarises the durations of many frames
(:class:`~googlenet_edge.latency.summary.StageStatistics`).
"""

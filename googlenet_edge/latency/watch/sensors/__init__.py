"""What a machine says of itself while it runs: clocks, temperatures, throttling, power.

One module a source: ``cpu`` (cpufreq, cgroups, x86 throttle counters), ``thermal`` (zones and cooling devices),
``jetson`` (nvpmodel, GPU clocks, over-current counters), ``nvml`` (NVIDIA's library), and the power meters ``hwmon``
(INA3221, INA238), ``rapl`` and ``tegrastats``. All files are found below a root that tests replace. What cannot be read
is None, or a :class:`~googlenet_edge.latency.watch.sensors.rail.Unreadable` that says why.
"""

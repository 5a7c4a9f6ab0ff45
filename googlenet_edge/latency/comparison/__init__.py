"""Two sides of latency reports, compared: what differs, by how much, and what of it may be chance.

- ``read``: a report and its raw samples, checked. ``alike``: was it measured alike, on a machine in the same state?
- ``figures``: what is compared: percentiles of stages, and the frame rate.
- ``memory``, ``resample``: how far each figure of a run may be off, given that frames near each other are alike.
- ``intervals``: intervals that hold for all figures at once. ``compare``: all of it, and the verdicts.
- ``judge``: what a limit such as "not slower than 5 %" says of a comparison. ``document``: the comparison as JSON.

Methods: circular block bootstrap of each run (Politis & Romano 1992) with automatic block length (Politis & White 2004,
corrected by Patton, Politis & White 2009); intervals of percentiles by their rank (Woodruff 1952); simultaneous
intervals by balancing (Beran 1988); several runs a side by Welch's t (1947).
"""

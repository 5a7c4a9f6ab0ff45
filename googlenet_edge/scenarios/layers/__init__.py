"""Several bundles, row by row: what a form of the model, or a precision, costs on this machine.

:mod:`~googlenet_edge.scenarios.layers.rounds` times each bundle in processes of its own, which take turns; of what they
say, :mod:`~googlenet_edge.scenarios.layers.comparison` makes figures and ratios.
"""

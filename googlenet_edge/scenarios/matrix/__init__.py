"""The matrix: precisions by batch sizes by backends, each timed in processes of its own, and which of them to take.

- ``candidates``: the bundles that take part; ``cell``: a setting, and what was measured of it.
- ``jobs``, ``child``, ``work``: what a process of its own is asked, does and answers; ``process`` runs one.
- ``rounds``: which take turns; ``accuracy``: what is known of a bundle's accuracy, ``accuracies``: of all of them.
- ``machine``: what the machine did meanwhile; ``result``: all of it, which ``bench`` puts together.
- ``target``, ``recommend``: what is wanted, which cells are shown to give it, and which one is recommended.
- ``format``, ``document``, ``display``: the figures as JSON, with its schema, and for the terminal.
"""

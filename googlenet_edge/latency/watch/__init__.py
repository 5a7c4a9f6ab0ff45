"""The machine beside the figures: its state before and after a run, what it did meanwhile, and the energy it used.

``state`` looks once; ``differences`` compares two looks. ``sampler`` looks now and then on a thread of its own: a
``timeline`` of clocks and temperatures, what slowed the machine down and when, and the ``energy`` of its power rails.
``sensors`` read the files and libraries, ``instruments`` opens those that a machine has, ``document`` puts it all into
the report, and ``run`` does all of this around a run.
"""

"""Frames in, labels out: preprocessing, the inference backends, and the classifier that puts them together.

Nothing is imported here: ``runtime.classifier`` is the way in.
"""

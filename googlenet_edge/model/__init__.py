"""The network: Table 1 as data, the forms built from it, checkpoints, labels and the summary of a model."""

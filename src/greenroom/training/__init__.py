"""Fit a model to a dataset and export it; needs the `train` extra."""

"""Figures that a model or a dataset is judged by, with sources: see `docs/reference/metrics.md`."""

"""Every figure that a model or a dataset is judged by, each with its source: see `docs/metrics.md`."""

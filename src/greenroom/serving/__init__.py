"""Run a model's graph: the Backend protocol and its implementations."""

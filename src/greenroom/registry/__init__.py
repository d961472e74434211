"""Releases: models that were approved, and the refs that put one on stage."""

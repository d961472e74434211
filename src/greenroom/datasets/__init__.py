"""Frozen lists of takes with splits, feature specification and statistics."""

"""Outputs of a show: one module per protocol."""

"""Recordings and live inputs: one file per format or protocol."""

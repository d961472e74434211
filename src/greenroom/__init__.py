"""Greenroom keeps a live virtual performer's model in shape."""

__version__ = "0.1.0"

"""File formats of recordings: one module per format, all under one conformance suite."""

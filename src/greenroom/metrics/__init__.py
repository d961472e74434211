"""Every figure a model is judged by, with its source."""

"""The show: engine, ladder, sinks, recorder and replay."""

"""Objects under their hash, the log that moves names, and the index over both."""

"""Pose and speech features, the same bits a tick at a time and over a whole take."""

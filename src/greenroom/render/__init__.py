"""Pictures and clips of a pose, without a screen."""

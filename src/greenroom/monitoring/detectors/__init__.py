"""Statistical detectors: sequential tests and classifiers on one stream."""

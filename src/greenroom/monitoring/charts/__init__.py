"""Control charts: detectors with limits, fitted on a release's reference takes."""

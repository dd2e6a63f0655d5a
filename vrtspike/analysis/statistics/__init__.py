"""Statistics of the samples of a log."""

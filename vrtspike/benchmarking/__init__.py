"""Timing of training iterations and of their data loading, saved activations, interleaved timing."""

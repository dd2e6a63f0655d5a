"""Timing of training steps and loader steps, saved activations, interleaved timing."""

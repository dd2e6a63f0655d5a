"""Timing of training steps and loader steps, saved activations, functions timed in turn."""

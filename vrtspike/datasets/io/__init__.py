"""Frames, videos and packed spikes as files."""

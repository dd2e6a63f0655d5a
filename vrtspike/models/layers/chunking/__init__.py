"""Attention along time in chunks of its maps, to bound its memory."""

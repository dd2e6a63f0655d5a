"""Attention along time over chunks of its maps, to bound its memory."""

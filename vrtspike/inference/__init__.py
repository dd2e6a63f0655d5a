"""Restores clips with the network of a checkpoint, and scores it on held-out sequences."""

from vrtspike.models.tiling import Tiling, restore_clip, stream_clip

__all__ = ['Tiling', 'restore_clip', 'stream_clip']

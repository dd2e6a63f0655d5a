"""From a checkpoint to restored clips: space-time tiling, shared by validation, test and restore."""

from vrtspike.models.tiling import Tiling, restore_clip, stream_clip

__all__ = ['Tiling', 'restore_clip', 'stream_clip']

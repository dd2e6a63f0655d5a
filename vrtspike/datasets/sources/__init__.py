"""Data sets as users have them, one layout to a file (registry ``CLIP_SOURCES``)."""

"""Checks for parts of one's own: one call per registry, in a test of one line.

    def test_my_head():
        check_fusion_head(dict(type='MyHead'))

They raise AssertionError with one sentence that says which promise is broken, and where.
"""

from vrtspike.testing.parts import (
    check_backbone,
    check_fusion_head,
    check_hook,
    check_representation,
    check_spike_encoder,
    check_tsa,
)
from vrtspike.testing.sweep import pairwise, tiny_arguments, tiny_restorer

__all__ = [
    'check_backbone',
    'check_fusion_head',
    'check_hook',
    'check_representation',
    'check_spike_encoder',
    'check_tsa',
    'pairwise',
    'tiny_arguments',
    'tiny_restorer',
]

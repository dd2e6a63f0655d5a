"""Checks of your own parts: one function per registry, for tests of one line.

    def test_my_head():
        check_fusion_head(dict(type='MyHead'))

A check raises AssertionError with a sentence that names the part and the broken promise.
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

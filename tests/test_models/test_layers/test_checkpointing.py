"""Policies of activation checkpointing by their names."""

import pytest

from vrtspike.errors import ConfigError
from vrtspike.models.layers.blocks import AttentionGroup
from vrtspike.models.layers.checkpointing import apply_policy, attention_blocks, check_policy


def test_an_unknown_policy_is_named():
    for policy in (None, 'auto', 'none', 'ffn', 'attn', 'all'):
        check_policy(policy)
    with pytest.raises(ConfigError, match=r"checkpointing='atn' is unknown.*did you mean 'attn'"):
        check_policy('atn')


@pytest.mark.parametrize(
    ('policy', 'recomputed'),
    [('none', (False, False)), ('ffn', (False, True)), ('attn', (True, False)), ('all', (True, True))],
)
def test_a_policy_is_applied_to_every_block(policy, recomputed):
    group = AttentionGroup(3, channels=4, heads=2, window=(2, 4, 4), mutual=False, drop_paths=[0.0] * 3)
    apply_policy(group, policy)
    assert [(block.checkpoint_attn, block.checkpoint_ffn) for block in attention_blocks(group)] == [recomputed] * 3

"""What checkpointing recomputes, against counts by hand: the last product of a region is not needed again."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vrtspike.models import VRT
from vrtspike.models.layers.checkpointing import attention_blocks
from vrtspike.profiling import part, stage
from vrtspike.profiling.flops import count_costs
from vrtspike.profiling.recomputation import recomputed_macs

ROWS, WIDTH = 6, 8
LAYER = ROWS * WIDTH * WIDTH


class Net(nn.Module):
    """Two stages of two linear layers; the second one is checkpointed."""

    def __init__(self, wrap=lambda branch, x: checkpoint(branch, x, use_reentrant=False)):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.wrap = wrap

    def forward(self, x):
        with stage('first') as s:
            x = s.leave(self.layers[1](self.layers[0](s.enter(x)).relu()))
        with stage('second') as s:
            return s.leave(self.wrap(self.branch, s.enter(x)))

    def branch(self, x):
        with part('mlp') as p:
            return p.leave(self.layers[3](self.layers[2](p.enter(x)).relu()))


def test_only_checkpointed_stages_recompute_and_stop_early():
    assert recomputed_macs(Net(), torch.empty(ROWS, WIDTH)) == {'second': LAYER}


def test_reentrant_checkpointing_recomputes_everything():
    net = Net(lambda branch, x: checkpoint(branch, x, use_reentrant=True))
    assert recomputed_macs(net, torch.empty(ROWS, WIDTH)) == {'second': 2 * LAYER}


def test_without_checkpointing_there_is_nothing():
    assert recomputed_macs(Net(lambda branch, x: branch(x)), torch.empty(ROWS, WIDTH)) == {}


def test_a_frozen_network_has_no_backward_pass():
    assert recomputed_macs(Net().requires_grad_(False), torch.empty(ROWS, WIDTH)) == {}


def test_frozen_convolutions_of_one_shape_give_no_gradient_of_their_weights():
    frozen = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))).requires_grad_(False)
    network = nn.Sequential(nn.Conv2d(4, 4, 1), frozen)
    assert recomputed_macs(network, torch.empty(1, 4, 8, 8)) == {}


def test_the_network_is_left_alone():
    net = Net().train()
    recomputed_macs(net, torch.empty(ROWS, WIDTH))
    assert net.training
    assert all(p.grad is None and p.requires_grad and not p.is_meta for p in net.parameters())


SMALL = dict(
    upscale=1,
    window_size=(2, 4, 4),
    depths=[2] * 7 + [1],
    indep_reconsts=[7],
    embed_dims=[8] * 8,
    num_heads=[2] * 8,
    deformable_groups=2,
    pa_frames=2,
)


@pytest.mark.parametrize('policy', ['none', 'attn', 'ffn', 'all'])
def test_vrt_recomputes_its_blocks_but_not_the_last_product_of_each(policy):
    clip = torch.empty(1, 2, 3, 32, 32)
    net = VRT(**SMALL, checkpointing=policy)
    parts = count_costs(net, clip).parts
    expected = {}
    for i in range(1, 9) if policy != 'none' else ():
        tokens = 2 * (32 >> min(i - 1, max(7 - i, 0))) ** 2
        blocks = len(attention_blocks(getattr(net, f'stage{i}')))
        # The last product has C inputs, also with mutual attention; the hidden layer of the MLP is twice as wide.
        attention = parts[f'stage{i}/attention'].macs - blocks * tokens * 8 * 8
        mlp = parts[f'stage{i}/mlp'].macs - blocks * tokens * 16 * 8
        expected[f'stage{i}'] = attention * (policy != 'ffn') + mlp * (policy != 'attn')
    # Deformable convolution recomputes in the backend that counts, which is no checkpointing of the network.
    assert recomputed_macs(net, clip) == expected

import torch
from torch import nn

from vrtspike.models.backbones.staged import StagedBackbone, summary_row


class Add(nn.Module):
    def forward(self, x, added):
        return x + added


class Chain(StagedBackbone):
    """Stages that add 1, 10, 100, ..., so that the result shows which of them were seen."""

    in_channels = 1
    stage_channels = (1,) * 8

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        for i in range(1, 8):
            setattr(self, f'stage{i}', Add())

    def restore(self, clip, fuse):
        self.outputs = self.run_stages(fuse(0, clip.transpose(1, 2)), [(10**i,) for i in range(7)], fuse)
        return self.outputs[-1].transpose(1, 2)


def test_clips_are_padded_for_the_stages_and_cropped_afterwards():
    network = Chain()
    assert network(torch.zeros(1, 2, 1, 7, 9)).shape == (1, 2, 1, 7, 9)
    assert network.outputs[0].shape == (1, 1, 2, 8, 16)


def test_stages_6_and_7_also_see_the_features_after_stages_3_and_2():
    network = Chain()
    network(torch.zeros(1, 1, 1, 8, 8))
    values = [int(x.flatten()[0]) for x in network.outputs]
    assert values == [1, 11, 111, 1111, 11111, 11111 + 111 + 100000, 11111 + 111 + 100000 + 11 + 1000000]


def test_the_next_stage_sees_the_fused_features():
    called = []

    def fuse(i, features):
        called.append(i)
        return 0 * features

    assert not Chain()(torch.ones(1, 1, 1, 8, 8), fuse=fuse).any()
    assert called == list(range(8))


def test_a_summary_row_counts_the_parameters_of_all_its_modules_in_the_last_column():
    row = summary_row('head', nn.Linear(2, 3), nn.Linear(3, 1), blocks=2)
    assert list(row.items()) == [('part', 'head'), ('blocks', 2), ('parameters', 13)]

from pathlib import Path

import pytest
import torch

from vrtspike.plugins import load_plugins
from vrtspike.registry import FUSION_HEADS
from vrtspike.testing import check_fusion_head


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def test_keeps_what_a_fusion_head_promises():
    check_fusion_head(dict(type='SpikeModulation'))


def test_begins_as_the_identity():
    head = FUSION_HEADS.build(dict(type='SpikeModulation', channels=8))
    rgb, spike = torch.randn(2, 1, 8, 3, 4, 4)
    assert torch.equal(head(rgb, spike), rgb)


def test_scales_and_shifts_by_what_the_last_layer_says():
    head = FUSION_HEADS.build(dict(type='SpikeModulation', channels=8))
    head.condition[-1].bias.data = torch.cat((torch.full((8,), 0.5), torch.full((8,), 2.0)))
    rgb, spike = torch.randn(2, 1, 8, 3, 4, 4)
    torch.testing.assert_close(head(rgb, spike), 1.5 * rgb + 2)
